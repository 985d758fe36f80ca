"""What the documentation points at is there: pages and their sections, tests, commands, flags, targets of make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer.main

from lambdad.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("src/**/README.md")])
FRAGMENTS = sorted(path for path in (ROOT / "changes").iterdir() if path.name != "README.md")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"\b(tests/[\w/]+(?:\.py|/))(?:::(\w+(?:::\w+)?))?")
_COMMAND = re.compile(r"(?:^|[\s`(])lambdad ((?:[a-z][a-z-]* ?)+)((?:--[a-z-]+(?:[ =][^-\s`]\S*)? ?)*)")

COMMAND = typer.main.get_command(app)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    """To a file of the repository, and to a section that it has."""
    wrong = []
    for page in PAGES:
        for link in _LINK.findall(_prose(read(page))):
            place, _, section = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            if "://" not in place and (not target.exists() or (section and section not in _sections(target))):
                wrong.append(f"{name(page)}: {link}")
    assert wrong == []


def test_named_tests_exist() -> None:
    """A promise names the test that keeps it: the file is there, and the test in it."""
    files = {path.name for path in ROOT.glob("tests/**/test_*.py")}
    wrong = []
    for page in PAGES:
        for place, test in _TEST.findall(read(page)):
            target = ROOT / place
            if not target.exists() or any(f" {part}" not in read(target) for part in test.split("::") if part):
                wrong.append(f"{name(page)}: {place}::{test}")
        wrong += [f"{name(page)}: {file}" for file in re.findall(r"`(test_\w+\.py)`", read(page)) if file not in files]
    assert wrong == []


def test_the_map_is_of_this_place() -> None:
    """ARCHITECTURE.md and CONTRIBUTING.md name modules and folders that there are."""
    folders = (ROOT / "src/lambdad", ROOT / "tests")
    parts = {path.name for folder in folders for path in folder.rglob("*") if path.suffix in ("", ".py")}
    wrong = []
    for page in (ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"):
        for place in re.findall(r"`((?:\w+/)*(?:\w+\.py|\w+/))`", read(page)):
            is_one_of_many = "/" not in place.rstrip("/") and place.rstrip("/") in parts  # each service has a records.py
            if "NAME" not in place and not is_one_of_many and not any((folder / place).exists() for folder in (*folders, ROOT)):
                wrong.append(f"{name(page)}: {place}")
    assert wrong == []


def test_every_promise_names_what_keeps_it() -> None:
    """A test, or a target of make that measures it."""
    table = read(ROOT / "docs/explanation/promises.md")
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert rows
    assert [row for row in rows if not _TEST.search(row) and "`make " not in row] == []


def test_named_targets_of_make_exist() -> None:
    """`make something` can be typed as it stands."""
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = {
        (name(page), target)
        for page in PAGES
        for target in re.findall(r"(?:^|`)\s*make ([a-z-]+)", "\n".join(_code(read(page))), re.MULTILINE)
    }
    assert {(page, target) for page, target in named if target not in targets} == set()


def test_named_commands_exist() -> None:
    """So does each flag that is shown with one of lambdad's commands."""
    wrong = []
    for page in PAGES:
        for code in _code(read(page)):
            for words, flags in _COMMAND.findall(code):
                command, path = COMMAND, []
                for word in words.split():
                    if word not in getattr(command, "commands", {}):
                        break
                    command = command.commands[word]
                    path.append(word)
                known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
                if not path or not set(re.findall(r"--[a-z-]+", flags)) <= known:
                    wrong.append(f"{name(page)}: lambdad {words}{flags}")
    assert wrong == []


def test_every_page_is_in_the_table_of_contents() -> None:
    """docs/README.md leads to each page but the decisions, which have a table of their own."""
    for folder, contents in ((ROOT / "docs", "**/*.md"), (ROOT / "docs/decisions", "*.md")):
        index = folder / "README.md"
        named = {(folder / link.partition("#")[0]).resolve() for link in _LINK.findall(read(index))}
        found = set(folder.glob(contents)) - {index}
        if folder.name == "docs":
            found -= set((folder / "decisions").glob("0*.md"))
        assert {name(page) for page in found - named} == set()


def test_places_that_the_sources_name_exist() -> None:
    """Comments send their reader to pages of docs/ that are there."""
    wrong = []
    for file in [*ROOT.glob("src/lambdad/**/*.py"), *ROOT.glob("tests/**/*.py"), ROOT / "Makefile"]:
        for place in re.findall(r"\bdocs/[\w/.-]+\.md", read(file)):
            if not (ROOT / place).exists():
                wrong.append(f"{name(file)}: {place}")
    assert wrong == []


def test_fragments_of_the_changelog_are_sentences() -> None:
    """Each has a telling name and the kind of its change, and begins and ends as sentences do."""
    wrong = []
    for fragment in FRAGMENTS:
        text = read(fragment).strip()
        is_named = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|removed)\.md", fragment.name)
        if (
            not is_named
            or not re.match(r"[A-Z`]", text)
            or not text.endswith((".", ".)"))
            or re.search(r"^\s*(-|$)", text[:-1], re.MULTILINE)
        ):
            wrong.append(name(fragment))
    assert wrong == []


@cache
def _sections(page: Path) -> set[str]:
    """As forges name them: small letters, hyphens for spaces, nothing else but letters, digits and underscores."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", _prose(read(page)), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-"))
    return found


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _code(text: str) -> Iterator[str]:
    """Blocks, fenced and indented, and what stands between backticks."""
    yield from re.findall(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    .*$", text, flags=re.MULTILINE)
    yield from re.findall(r"`[^`\n]+`", _prose(text))
