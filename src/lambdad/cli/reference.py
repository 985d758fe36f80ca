"""The pages of docs/reference that are made from the code: `python -m lambdad.cli.reference docs/reference`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

from lambdad.cli.failure import EXIT_CODES
from lambdad.cli.main import app
from lambdad.cli.states import diagrams
from lambdad.cli.support import collect, markdown
from lambdad.config import CONFIG_FILE, CONFIG_VARIABLE, reference_table

_MADE = "<!-- Made from the code by `python -m lambdad.cli.reference docs/reference`; edit the code instead. -->\n\n"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {
        "settings.md": _settings(),
        "cli.md": _commands(),
        "support.md": _support(),
        "states.md": f"# States\n\n{_MADE}{diagrams()}",
    }


def write(folder: Path) -> None:
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _settings() -> str:
    return (
        f"# Settings\n\n{_MADE}"
        "Every setting can be given as a flag of `lambdad up`, in the environment, or in a settings file. A flag wins over "
        "the environment, the environment over the file, the file over the default. An empty environment variable counts "
        "as not set.\n\n"
        f"{reference_table()}\n"
        "## The settings file\n\n"
        f"`--config FILE`, else the file that `{CONFIG_VARIABLE}` names, else `{CONFIG_FILE}` in the working directory if "
        "there is one. It is TOML, with the settings' names as keys; a key that is no setting is refused. Relative paths "
        "start from the file's folder.\n\n"
        '```toml\nport = 4566\ndata_dir = "data"\nauth = "on"\nkeep_alive_seconds = 300\n```\n'
    )


def _commands() -> str:
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    sections = "\n".join(_section(name, command) for name, command in _flat("lambdad", get_command(app)))
    return f"# The command line\n\n{_MADE}| exit code | meaning |\n| --- | --- |\n{codes}\n\n{sections}"


def _support() -> str:
    intro = (
        "What is served and not refused has its effect. Every other operation answers an error that says so, and a request "
        "with a refused setting is refused as a whole.\n\n"
    )
    return f"# Support\n\n{_MADE}{intro}{markdown(collect())}"


def _flat(name: str, command: Any) -> list[tuple[str, Any]]:
    """The command and all below it, each with its full name."""
    below = getattr(command, "commands", {})
    return [(name, command), *(pair for child in below.values() for pair in _flat(f"{name} {child.name}", child))]


def _section(name: str, command: Any) -> str:
    """Made from the declarations rather than from the help text, whose looks change with typer's version."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    rows = [(parameter.metavar, parameter.help) for parameter in arguments]
    rows += [(_spelling(option), option.help) for option in options if "completion" not in option.name]
    head = ["", "| | |", "| --- | --- |"] if rows else []
    table = [f"| {_code(left)} | {_cell(right)} |" for left, right in rows]
    return "\n".join([f"## {name}", "", _prose(command.help), *head, *table, ""])


def _spelling(option: Any) -> str:
    flags = ", ".join(option.opts)
    return flags if option.is_flag else f"{flags} {option.metavar or option.name.upper()}"


def _prose(text: str) -> str:
    """A command's description. Paragraphs that keep their lines (marked for click by a backspace) are the examples."""
    paragraphs = [paragraph for paragraph in text.split("\n\n") if paragraph.strip()]
    return "\n\n".join(_examples(paragraph) if "\b" in paragraph else paragraph for paragraph in paragraphs)


def _examples(paragraph: str) -> str:
    commands = "\n".join(line.strip() for line in paragraph.replace("\b", "").splitlines() if line.startswith("  "))
    return f"```sh\n{commands}\n```"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
