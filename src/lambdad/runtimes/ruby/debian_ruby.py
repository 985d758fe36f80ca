"""Rubies of Debian's releases, in a folder of their own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lambdad.runtimes.debian import DebianSource, launch_script, put_script

#: Identifier to release, suites and megabytes. Debian 12 has 3.1, which AWS never had. What experimental's needs is in sid.
_RELEASES = {
    "ruby2.7": ("Debian 11", ("bullseye",), 18),
    "ruby3.3": ("Debian 13", ("trixie",), 17),
    "ruby3.4": ("Debian experimental", ("experimental", "sid"), 23),
}


def sources(runtime: str) -> Sequence[DebianSource]:
    if runtime not in _RELEASES:
        return ()
    return [DebianSource(runtime, *_RELEASES[runtime], partial(arrange, version=runtime.removeprefix("ruby")))]


def arrange(tree: Path, version: str) -> None:
    """Puts a script in the place of the program, which otherwise would run with the machine's C library and look for its own
    library where Debian has it. Ruby itself takes that script for its program."""
    program = tree / f"usr/bin/ruby{version}"
    program.rename(program.with_name(f"{program.name}.bin"))
    _leave_out_others(tree, version)
    folders = (
        "ruby/vendor_ruby",
        f"$_machine/ruby/vendor_ruby/{version}.0",
        f"ruby/{version}.0",
        f"$_machine/ruby/{version}.0",
    )
    script = launch_script(f"usr/bin/{program.name}.bin", "RUBYLIB", [f"usr/lib/{folder}" for folder in folders])
    # Debian's changes to RubyGems name places outside of this tree.
    script = script.replace("exec ", "export DEBIAN_DISABLE_RUBYGEMS_INTEGRATION=1\nexec ", 1)
    for place in (program, tree / "bin/ruby"):
        put_script(place, script)


def _leave_out_others(tree: Path, version: str) -> None:
    """Some packages need the release's own Ruby, which comes along."""
    for folder in (*tree.glob("usr/lib/ruby/*.*.0"), *tree.glob("usr/lib/*/ruby/*.*.0"), *tree.glob("usr/lib/ruby/gems/*.*.0")):
        if folder.name != f"{version}.0":
            shutil.rmtree(folder)
    for library in tree.glob("usr/lib/*/libruby-*.so.*"):
        if not library.name.startswith(f"libruby-{version}.so."):
            library.unlink()
