"""lambdad on systems that are not Linux: `--isolation process` needs none of Linux's calls."""

from __future__ import annotations

import subprocess
import sys

#: What macOS lacks of the standard library and of libc, taken away before anything of lambdad's is imported.
ON_MACOS = """
import asyncio, ctypes, multiprocessing, os, resource, select, signal, socket, subprocess, sys, tempfile, urllib.request, uuid
import apsw, boto3, botocore.session, msgspec, rich.console, typer, uvicorn, uvloop

class Libc:
    def __init__(self, *arguments, **options):
        self._real = load(*arguments, **options)
    def __getattr__(self, name):
        if name in ("prctl", "unshare", "setns", "signalfd", "umount2", "pivot_root", "capset", "setresuid", "setresgid"):
            raise AttributeError(name)
        return getattr(self._real, name)

load, ctypes.CDLL, ctypes.PyDLL = ctypes.CDLL, Libc, Libc
for module, starts in (
    (os, ("pidfd_", "eventfd", "EFD_", "memfd_", "MFD_", "O_PATH", "O_TMPFILE", "sched_", "setres", "getres", "P_PIDFD")),
    (signal, ("pidfd_", "SIGRT", "sigtimedwait")),
    (socket, ("AF_NETLINK", "NETLINK", "AF_PACKET", "AF_VSOCK", "SO_PEERCRED", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_DOMAIN")),
    (select, ("epoll", "EPOLL")),
    (resource, ("prlimit", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_SIGPENDING")),
):
    for name in [name for name in dir(module) if name.startswith(starts)]:
        delattr(module, name)
sys.platform = "darwin"

import lambdad.app, lambdad.cli.main
from pathlib import Path
from lambdad.errors import StartupError
from lambdad.sandbox.namespace import NamespaceSandboxes
try:
    NamespaceSandboxes(Path("/nowhere"))
except StartupError as error:
    print(error)
"""


def test_the_server_can_be_imported_without_linux() -> None:
    """What only Linux has is asked for when it is used; the backends that need it say so in a sentence."""
    ran = subprocess.run([sys.executable, "-c", ON_MACOS], capture_output=True, text=True)
    assert (ran.stderr, ran.stdout) == ("", "sandboxes made of namespaces need Linux\n")
