"""An apt and a dpkg-deb of a few lines, which write down how they were called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

APT = r"""#!/bin/sh
echo "$@ APT_CONFIG=$APT_CONFIG" >> {folder}/calls
case " $* " in
*" indextargets "*) {mirror} ;;
*" update "*) {update} ;;
*" download "*) touch language_1_all.deb ;;
*" install "*) {install}; for o in "$@"; do case $o in -oDir::Cache=*) cache=${{o#*=}} ;; esac; done
    touch $cache/archives/language_1_all.deb $cache/archives/perl-base_1_all.deb ;;
esac
"""
DPKG = '#!/bin/sh\necho "$(basename $2)" >> {folder}/unpacked\nmkdir -p $3/usr/share/doc/x $3/usr/lib/x86/gconv $3/usr/bin\n'


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, *, mirror: str, update: str = ":", install: str = ":") -> None:
    folder.mkdir()
    for name, text in {
        "apt-get": APT.format(folder=folder, mirror=mirror, update=update, install=install),
        "dpkg-deb": DPKG.format(folder=folder),
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
