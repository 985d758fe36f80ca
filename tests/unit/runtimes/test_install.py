from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from lambdad.runtimes.install import CommandError, InstallError, NpmInstaller, PipInstaller, installed_packages, run
from support.processes import is_running


async def ended(pid: int) -> None:
    """Who is killed may yet have to hear of it."""
    async with asyncio.timeout(60):
        while is_running(pid):
            await asyncio.sleep(0.01)


async def test_a_commands_lines_are_passed_on() -> None:
    """Standard output and error arrive line by line; rubbish bytes do no harm."""
    lines: list[str] = []
    await run(["/bin/sh", "-c", r"echo one; echo two >&2; printf '\377'"], 60, lines.append)
    assert lines == ["one", "two", "�"]


async def test_a_line_without_end_comes_in_parts() -> None:
    """No command can fill the memory with one, or be stopped by one."""
    lines: list[str] = []
    await run(["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"], 60, lines.append)
    assert lines[-1] == "end" and "".join(lines[:-1]) == "x" * 3_000_000
    assert max(map(len, lines)) < 1_200_000


async def test_a_failed_command_tells_its_last_words() -> None:
    """The end of the output is the error's text; without output the status is."""
    with pytest.raises(CommandError, match=r"^sorry$"):
        await run(["/bin/sh", "-c", "echo sorry; exit 3"], 60, lambda line: None)
    with pytest.raises(CommandError, match="status 3"):
        await run(["/bin/sh", "-c", "exit 3"], 60, lambda line: None)


async def test_of_what_npm_writes_the_reason_is_told() -> None:
    """Not what stands behind it: a stack trace, the members of an object, advice."""
    said = (
        "npm error code ECONNREFUSED\nnpm error FetchError: request to it failed, reason: connect ECONNREFUSED 127.0.0.1:9\n"
        "npm error     at emit (node:events:524:28) {\nnpm error   errno: 'ECONNREFUSED',\nnpm error   type: 'x'\n"
        "npm error }\nnpm error\nnpm error If you are behind a proxy, see it.\nnpm error A complete log of this run is there."
    )
    with pytest.raises(CommandError) as caught:
        await run(["/bin/sh", "-c", 'printf "%s" "$1"; exit 1', "-", said], 60, lambda line: None)
    assert str(caught.value) == " ".join(said.splitlines()[:2])


async def test_of_what_pip_writes_without_a_network_the_reason_is_told_once() -> None:
    """Not how often it was tried, and not in the middle of a word."""
    tries = "".join(
        f"WARNING: Retrying (Retry(total={left}, connect=None)) after connection broken by 'NewConnectionError('<pip.Connection"
        f" object at 0x7f{left}>: Failed to establish a new connection: [Errno -3] No name')': /simple/thing/\n"
        for left in range(4)
    )
    said = f"{'x' * 450}\n{tries}ERROR: No matching distribution found for thing"
    with pytest.raises(CommandError) as caught:
        await run(["/bin/sh", "-c", 'printf "%s" "$1"; exit 1', "-", said], 60, lambda line: None)
    assert str(caught.value) == (
        "Failed to establish a new connection: [Errno -3] No name ERROR: No matching distribution found for thing"
    )


async def test_a_command_over_its_time_is_killed_with_its_children(tmp_path: Path) -> None:
    """Nothing of it is left running."""
    script = f"sleep 1000 & echo $! > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/child; wait"
    for seconds in (0.5, 5, 50):  # until it was enough for it to begin
        with pytest.raises(TimeoutError):
            await run(["/bin/sh", "-c", script], seconds, lambda line: None)
        if (tmp_path / "child").exists():
            break
    await ended(int((tmp_path / "child").read_text()))


async def test_a_command_that_has_just_ended_need_not_be_killed(tmp_path: Path) -> None:
    """What went wrong meanwhile is told, and not that there was nobody left to kill."""

    def heard(line: str) -> None:
        pid = int(line)
        deadline = time.monotonic() + 2  # where the event loop buries it, which waits for this, that does not happen
        while is_running(pid) or (Path(f"/proc/{pid}").exists() and time.monotonic() < deadline):
            time.sleep(0.01)
        raise ValueError("of no use")

    with pytest.raises(ValueError, match="of no use"):
        await run(["/bin/sh", "-c", "echo $$"], 60, heard)


async def test_a_cancelled_command_is_killed(tmp_path: Path) -> None:
    """Cancelling waits until the process has gone."""
    started = asyncio.Event()
    pids: list[int] = []

    def heard(line: str) -> None:
        pids.append(int(line))
        started.set()

    task = asyncio.create_task(run(["/bin/sh", "-c", "echo $$; exec sleep 60"], 60, heard))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await ended(pids[0])


async def test_pip_that_fails_is_an_install_error(tmp_path: Path) -> None:
    """The sentence says what was wanted and what pip said."""
    with pytest.raises(InstallError, match=r"pip could not install not a requirement: .*[Ii]nvalid requirement"):
        await PipInstaller("3.8").install(["not a requirement"], tmp_path, lambda line: None)


async def test_pip_that_takes_too_long_is_an_install_error(tmp_path: Path) -> None:
    """The time limit is in the sentence."""
    with pytest.raises(InstallError, match="did not finish within 0 seconds"):
        await PipInstaller("3.8", 0.01).install(["boto3"], tmp_path, lambda line: None)


NPM = """#!/bin/sh
test "$1" = cache && exit
echo "$@" > "$(dirname "$0")/arguments"
cd "$3" && test -f package.json && mkdir -p node_modules/@scope/package "$5/content" || exit 9
echo '{"name": "@scope/package", "version": "1.2.3"}' > node_modules/@scope/package/package.json
echo '{}' > node_modules/.package-lock.json
echo fetched
"""


def put_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """That program is the npm of the machine."""
    folder.mkdir()
    (folder / "npm").write_text(script)
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


async def test_npm_puts_packages_in_place_and_leaves_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cache, its notes and our description of nothing are gone; scripts of packages were not to be run."""
    put_npm(tmp_path / "bin", monkeypatch, NPM)
    lines: list[str] = []
    target = tmp_path / "content"
    await NpmInstaller().install(["@scope/package@<=2"], target, lines.append)
    assert [path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()] == [
        "node_modules/@scope/package/package.json"
    ]
    assert [path.name for path in target.iterdir()] == ["node_modules"]
    arguments = (tmp_path / "bin" / "arguments").read_text().split()
    assert "--ignore-scripts" in arguments and arguments[-1] == "@scope/package@<=2"
    assert lines == ["fetched"]
    assert installed_packages(target) == ["@scope/package@1.2.3"]


async def test_npm_that_fails_is_an_install_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what was wanted and what npm said. Where nothing can be fetched, one package is tried and no more."""
    offline = f"#!/bin/sh\necho >> {tmp_path}/calls; echo npm error code EAI_AGAIN >&2; exit 1\n"
    put_npm(tmp_path / "bin", monkeypatch, offline)
    with pytest.raises(InstallError, match=r"^npm could not install a@2: npm error code EAI_AGAIN$"):
        await NpmInstaller().install(["a@2", "b@3"], tmp_path / "content", lambda line: None)
    assert (tmp_path / "calls").read_text() == "\n"
    put_npm(tmp_path / "other", monkeypatch, '#!/bin/sh\ntest "$1" = cache || { echo no b; exit 1; }\n')
    with pytest.raises(InstallError, match=r"^npm could not install a@2, b@3: no b$"):
        await NpmInstaller().install(["a@2", "b@3"], tmp_path / "more", lambda line: None)


async def test_where_a_registry_is_stays_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is part of the server's health, and addresses may hold passwords."""
    text = "request to https://me:secret@npm.example.org:8443/a failed, reason: getaddrinfo ENOTFOUND npm.example.org"
    put_npm(tmp_path / "bin", monkeypatch, f"#!/bin/sh\necho '{text}'; exit 1\n")
    with pytest.raises(InstallError) as failure:
        await NpmInstaller().install(["a@2"], tmp_path / "content", lambda line: None)
    told = "request to https://.../a failed, reason: getaddrinfo ENOTFOUND ..."
    assert str(failure.value) == f"npm could not install a@2: {told}"


async def test_npm_that_takes_too_long_is_an_install_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is in the sentence, and npm is gone."""
    put_npm(
        tmp_path / "bin", monkeypatch, f"#!/bin/sh\necho $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 1000"
    )
    for seconds in (1, 5, 50):  # until it was enough for it to begin
        with pytest.raises(InstallError, match=f"npm did not finish within {seconds} seconds"):
            await NpmInstaller(seconds).install(["aws-sdk@2"], tmp_path / "content", lambda line: None)
        if (tmp_path / "pid").exists():
            break
    await ended(int((tmp_path / "pid").read_text()))


async def test_without_npm_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written then."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match=r"^npm is not installed \(Debian: apt-get install npm\)$"):
        await NpmInstaller().install(["aws-sdk@2"], tmp_path / "content", lambda line: None)
    assert not (tmp_path / "content").exists()
