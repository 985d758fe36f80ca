"""Functions with extensions in a layer, and what is in their logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from support.server import Server, wait_until, zipped


def layer(server: Server, name: str, files: Mapping[str, str | bytes]) -> str:
    """The ARN of a layer of these files, which can all be executed."""
    published = server.client("lambda").publish_layer_version(
        LayerName=name, Content={"ZipFile": zipped(files, executable=list(files))}
    )
    return str(published["LayerVersionArn"])


def create_extended(server: Server, name: str, source: str, extensions: Mapping[str, str | bytes], **settings: Any) -> None:
    """A function with these extensions, each a name and its program."""
    arn = layer(server, name, {f"extensions/{path}": program for path, program in extensions.items()})
    server.create_function(name, source, Layers=[arn], **{"MemorySize": 512, "Timeout": 10, **settings})


def lines(server: Server, name: str) -> list[str]:
    return [line.rstrip("\n") for line in server.messages(f"/aws/lambda/{name}")]


def wait_for_line(server: Server, name: str, text: str) -> str:
    """The first line of the function's log in which the text is."""
    return str(
        wait_until(
            lambda: next((line for line in lines(server, name) if text in line), None), 20, f"{text!r} in the log of {name}"
        )
    )
