"""An OCI runtime is not believed: what it does not do as it was told is found out at the trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox.oci import OciSandboxes
from support.oci import remains, wrapped

pytestmark = pytest.mark.root


class TestDistrust:
    """A runtime that does not do what it is told is found out at the trial."""

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ('sed -i \'s/"uid":[0-9]*,"gid":[0-9]*,/"uid":0,"gid":0,/\' "$bundle/config.json"', "another user than"),
            (
                'sed -i \'s/"permitted":\\[\\]/"permitted":["CAP_KILL"]/;s/"bounding":\\[\\]/"bounding":["CAP_KILL"]/\' '
                '"$bundle/config.json"',
                "capabilities: Cap",
            ),
            ('sed -i \'s,"cgroupsPath":"/,"cgroupsPath":"/elsewhere-,\' "$bundle/config.json"', "control group"),
            ("sed -i 's,container_init,no_such_init,' \"$bundle/config.json\"", "first process ended"),
            ("echo no such luck >&2; exit 3", "runc create failed: no such luck"),
        ],
        ids=["root", "capabilities", "control group", "no init", "failure"],
    )
    async def test_it_is_not_used(self, tmp_path: Path, runc: str, script: str, reason: str) -> None:
        """The server does not start, and says what is wrong with which program; nothing of the trial is left."""
        sandboxes = OciSandboxes(tmp_path / "state", wrapped(tmp_path, runc, script))
        with pytest.raises(StartupError, match=reason) as raised:
            await sandboxes.open()
        assert str(tmp_path / "wrapper") in str(raised.value)
        assert remains(tmp_path / "state") == []
        for folder in [*Path("/sys/fs/cgroup").glob("elsewhere-*"), *Path("/sys/fs/cgroup").glob("*/elsewhere-*")]:
            folder.rmdir()  # what runc leaves of a path

    async def test_standard_input_has_to_arrive(self, tmp_path: Path, runc: str) -> None:
        """A runtime that gives process 1 another standard input than the socket cannot be used."""
        sandboxes = OciSandboxes(tmp_path / "state", wrapped(tmp_path, runc, "exec </dev/null"))
        with pytest.raises(StartupError, match="no sandbox can be made"):
            await sandboxes.open()
        assert remains(tmp_path / "state") == []
