"""Tables and colours."""

from __future__ import annotations

import io
import sys

import pytest

from lambdad.cli.output import print_table, styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_columns_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as their widest cell; no colours, no cut-off texts, no blanks at the end."""
    print_table(("A", "LONGER"), [("wide cell", "1"), ("x", "")])
    assert capsys.readouterr().out == "A          LONGER\nwide cell  1\nx\n"


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the head."""
    print_table(("A", "B"), [])
    assert capsys.readouterr().out == "A  B\n"


def test_a_terminal_gets_a_table_and_names_are_never_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function called [red] is shown as it is called."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    print_table(("NAME",), [("[red]x",)])
    assert "[red]x" in terminal.getvalue()


def test_colours_only_on_a_terminal_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org is honoured."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert styled("x", colour="red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("x", colour="red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert styled("x", colour="red", bold=True) == "x"
