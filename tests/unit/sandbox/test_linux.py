"""The launcher's Linux calls, as far as no other suite sees them at work."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys

import pytest

from lambdad.sandbox import linux

IGNORING_PARENT = """
import ctypes, os, struct
from lambdad.sandbox import linux
ignore = struct.pack("4Q", 1, 0, 0, 0)  # SIG_IGN
for number in set(range(1, 65)).difference((9, 19)):
    linux._call(linux._SYS_RT_SIGACTION[os.uname().machine], "rt_sigaction", number, ignore, None, 8)
{reset}
os.execv("/bin/cat", ["cat", "/proc/self/status"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize(
    "reset, ignored", [("", "fffffffffffbfeff"), ("linux.reset_signals()", "0000000000000000")], ids=["as-it-came", "reset"]
)
def test_signals_have_their_default_effect(reset: str, ignored: str) -> None:
    """Whatever whoever started the server ignores, down to the two signals that the C library keeps for itself."""
    code = IGNORING_PARENT.format(reset=reset)
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert dict(line.split(":\t", 1) for line in status.stdout.splitlines())["SigIgn"] == ignored


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_end_of_a_process_whose_descriptor_is_high() -> None:
    """The launcher of many sandboxes, or of one with many processes, has more than the 1,024 that `select` knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with subprocess.Popen(["sleep", "600"]) as sleeper:
            low = os.pidfd_open(sleeper.pid)
            high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 2000)
            assert not linux.wait_for_end(high, 0)
            sleeper.kill()
            assert linux.wait_for_end(high, 10)
            os.close(low)
            os.close(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
