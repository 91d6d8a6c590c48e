"""Becomes another program that ends with its parent and, where asked, does not run as root.

Run by path, with nothing but the standard library: ``launch.py PARENT_PID SIGNAL DROP_ROOT PROGRAM [ARGUMENT ...]``.

PostgreSQL refuses to run as root. Rather than add an account to the machine and open its directories to it, the
program is put into a user namespace in which root's files belong to an ordinary account. Where the kernel forbids
that, it becomes the account ``nobody``, which must then be able to reach its files.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
NOBODY = 65534


def _drop_root(libc: ctypes.CDLL, files: list[str]) -> None:
    """Leaves root behind. ``files`` are handed to ``nobody`` where namespaces are forbidden."""
    group = os.getegid()
    if libc.unshare(CLONE_NEWUSER) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} 0 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
        return
    for name in files:
        os.chown(name, NOBODY, NOBODY)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def main(arguments: list[str]) -> None:
    """Never returns: replaces this process. Raises ``OSError`` if the program cannot be started."""
    parent, death_signal, drop, program, *rest = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if drop and os.geteuid() == 0:
            _drop_root(libc, drop.split(os.pathsep))
        if int(death_signal):
            # After the change of account, which would clear it.
            libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != int(parent):
                return
    os.execv(program, [program, *rest])  # noqa: S606  (a shell is what is avoided)


if __name__ == "__main__":
    main(sys.argv[1:])
