"""Giving up root's rights."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, re
from lambdad.sandbox.privilege import drop_server_capabilities
drop_server_capabilities()
drop_server_capabilities()
status = open("/proc/self/status").read()
assert all(int(found, 16) == 0 for found in re.findall(r"Cap(?:Eff|Prm|Inh):\\s*(\\w+)", status)), status
try:
    os.chroot("/")
except PermissionError:
    print("as wanted")
"""


@pytest.mark.root
def test_nothing_is_left() -> None:
    """Afterwards no capability is left, and a second time does no harm."""
    assert subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout == "as wanted\n"
