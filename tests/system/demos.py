"""Runs a demonstration as its user does, where a test may look at what it leaves behind."""

import asyncio
import os
import sys
from pathlib import Path

import psutil


async def start_demo(directory: Path, name: str, *arguments: str) -> asyncio.subprocess.Process:
    """``python -m orchestrator.local.<name>`` in ``directory``."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"orchestrator.local.{name}", *arguments),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def processes_in(directory: Path) -> list[str]:
    """Command lines of everything that runs there: nodes, participants and PostgreSQL do."""
    found = psutil.process_iter(["cwd", "cmdline", "status"])
    return [
        " ".join(process.info["cmdline"] or [])
        for process in found
        if (process.info["cwd"] or "").startswith(str(directory)) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
