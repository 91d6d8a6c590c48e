"""The program itself: connections that fail, help, completion, and ``top`` on a terminal."""

import asyncio
import os
import pty
import re
import socket
import sys
from pathlib import Path

import grpc
import pytest

from orchestrator.cli.sagactl.exits import ExitCode
from tests.fixtures.operator_service import serve_operator
from tests.fixtures.sagactl import sagactl
from tests.integration.sagactl.harness import Operator, serving

ROOT = Path(__file__).parents[3]
TLS = ROOT / "tests" / "integration" / "rpc" / "tls"
COMMANDS = (
    *("start", "get", "watch", "list", "stuck", "explain", "retry", "retry-compensation", "skip", "compensate"),
    *("resolve", "pause", "resume", "bulk", "participants", "nodes", "definitions", "audit", "top", "completion"),
)
PROGRAM = (sys.executable, "-m", "orchestrator.cli.sagactl")
OWN_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("orchestrator.cli.sagactl", run_name="__main__")
"""
"""Lets the terminal on standard input send Ctrl-C to the program."""
TERMINAL_PROGRAM = (sys.executable, "-c", OWN_TERMINAL)


def environment(address: str, **more: str) -> dict[str, str]:
    path = os.pathsep.join(str(each) for each in (ROOT, ROOT / "generated"))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # buffered, as by default
    return {**kept, "PYTHONPATH": path, "SAGACTL_ADDRESS": address, "TERM": "xterm", "COLUMNS": "120", **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("list",), ExitCode.NO_ANSWER, "nothing listens there (connection refused); start the node"),
        (("watch", "01900000-0000-7000-8000-000000000000"), ExitCode.NO_ANSWER, "connection refused"),
        (("top",), ExitCode.NO_ANSWER, "connection refused"),
        (("list", "--address", "nowhere"), ExitCode.USAGE, "write host:port"),
        (("list", "--ca-file", "/nowhere/ca.pem"), ExitCode.USAGE, "cannot be read"),
        (("list", "--cert-file", "/nowhere/cert.pem"), ExitCode.USAGE, "give both, or neither"),
        (("list", "--output", "yaml"), ExitCode.USAGE, "give table or json"),
    ],
)
async def test_what_hinders_a_connection_is_told_in_one_line(arguments: tuple[str, ...], code: int, told: str) -> None:
    result = await sagactl(f"127.0.0.1:{free_port()}", *arguments)
    assert result.exit_code == code
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


async def test_tls_that_the_node_does_not_speak_is_told() -> None:
    async with serving(Operator()) as address:
        result = await sagactl(address, "list", "--tls", "--timeout-s", "5")
    assert result.exit_code == ExitCode.NO_ANSWER
    assert "no answer from" in result.stderr


async def test_with_tls_both_sides_prove_who_they_are() -> None:
    """The certificates are those of the tests of nodes: throwaways, whose authority's key was never kept."""
    pair = ((TLS / "participant.key").read_bytes(), (TLS / "participant.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], (TLS / "ca.pem").read_bytes(), require_client_auth=True)
    ca, name = ("--ca-file", str(TLS / "ca.pem")), ("--server-name", "participant.test")
    own = ("--cert-file", str(TLS / "node.pem"), "--key-file", str(TLS / "node.key"))
    async with serving(Operator(), credentials=credentials) as address:
        assert (await sagactl(address, "nodes", *ca, *own, *name)).exit_code == 0
        for options in ((*ca, *name), (*own, *name), (*ca, *own), ()):
            result = await sagactl(address, "nodes", *options, "--timeout-s", "5")
            assert result.exit_code == ExitCode.NO_ANSWER
            assert len(result.stderr.splitlines()) == 1, result.stderr


async def test_an_answer_that_cannot_be_written_is_told() -> None:
    async with serving(Operator()) as address:
        full = os.open("/dev/full", os.O_WRONLY)
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "list", env=environment(address), stdout=full, stderr=asyncio.subprocess.PIPE
        )
        os.close(full)
        _, told = await process.communicate()
    assert process.returncode == ExitCode.DEFECT
    assert b"No space left" in told
    assert b"Traceback" not in told


async def test_a_method_that_the_node_lacks_is_told() -> None:
    async with serve_operator() as address:
        result = await sagactl(address, "watch", "01900000-0000-7000-8000-000000000000")
    assert result.exit_code == ExitCode.DEFECT
    assert "does not serve this call" in result.stderr


async def test_help_explains_the_exit_codes_and_every_command() -> None:
    shown = (await sagactl("127.0.0.1:1", "--help")).stdout
    assert all(f"{int(code)} " in shown for code in ExitCode)
    for name in COMMANDS:
        assert re.search(rf"^│ {name} ", shown, re.MULTILINE), name
        below = await sagactl("127.0.0.1:1", name, "--help")
        assert below.exit_code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_completion_script_is_printed(shell: str) -> None:
    result = await sagactl("127.0.0.1:1", "completion", shell)
    assert result.exit_code == 0
    assert "_SAGACTL_COMPLETE" in result.stdout
    assert (await sagactl("127.0.0.1:1", "completion", "tcsh")).exit_code == ExitCode.USAGE


async def test_the_shell_completes_commands_and_words() -> None:
    for typed, expected in (("sagactl exp", "explain"), ("sagactl list --state stu", "stuck")):
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_SAGACTL_COMPLETE": "complete_bash"}
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, env=environment("127.0.0.1:1", **words), stdout=asyncio.subprocess.PIPE
        )
        shown, _ = await process.communicate()
        assert expected in shown.decode().split()


@pytest.mark.parametrize("key", [b"q", b"\x03"])
async def test_top_lives_on_a_terminal_and_leaves_it_as_it_was(key: bytes) -> None:
    """Ctrl-C reaches a terminal's program as SIGINT: either way the screen is given back, and the code is its own."""
    async with serving(Operator()) as address:
        ours, its = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *TERMINAL_PROGRAM, "top", "--interval-s", "0.5", env=environment(address), start_new_session=True,
            stdin=its, stdout=its, stderr=its,
        )  # fmt: skip
        os.close(its)
        shown = b""
        try:
            async with asyncio.timeout(30):
                while b"Participants" not in shown:
                    shown += await asyncio.to_thread(os.read, ours, 65536)
                os.write(ours, key)
                reading = asyncio.create_task(asyncio.to_thread(_drain, ours))
                code = await process.wait()
                shown += await reading
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)
    assert code == (0 if key == b"q" else ExitCode.INTERRUPTED)
    assert b"\x1b[?1049h" in shown
    assert shown.rstrip().rfind(b"\x1b[?1049l") > shown.rfind(b"\x1b[?1049h")
    assert b"Traceback" not in shown


def _drain(terminal: int) -> bytes:
    """What is left to read until the other side has closed."""
    read = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return read
        if not part:
            return read
        read += part
