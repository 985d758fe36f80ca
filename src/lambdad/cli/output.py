"""Output for people: colours and fitted tables on a terminal, plain text where there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer


def styled(text: str, *, colour: str | None = None, bold: bool = False) -> str:
    """Plain unless standard output is a terminal that NO_COLOR (no-color.org) does not forbid colours on."""
    is_colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(text, fg=colour, bold=bold or None) if is_colourful else text


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        _print_rich(columns, rows)
    else:
        _print_plain(columns, rows)


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: names are data, never markup
    Console().print(table)


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()  # a reader that is gone is noticed here and not when Python ends
