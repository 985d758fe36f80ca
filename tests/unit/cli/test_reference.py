"""The pages of docs/reference that are made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.cli.reference import pages, write

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", ["settings.md", "cli.md", "support.md", "states.md"])
def test_the_page_in_the_tree_is_current(name: str) -> None:
    """`python -m lambdad.cli.reference docs/reference` was run after the last change that shows in it."""
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name]


def test_writing_makes_every_page(tmp_path: Path) -> None:
    """All of them, and nothing else."""
    write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(pages())


def test_the_command_line_page_has_every_command_with_its_options() -> None:
    """Commands below commands too, and options as they are typed."""
    page = pages()["cli.md"]
    for heading in ("## lambdad up\n", "## lambdad invoke\n", "## lambdad credentials create\n"):
        assert heading in page
    assert "| `--isolation auto\\|namespace\\|oci\\|process` |" in page
    assert "| `--follow, -f` |" in page
