"""go1.x: functions are programs made with AWS's library for Go, which `client/` starts and speaks to by Go's net/rpc.

The client is Python for the server's own one. Newer programs in Go are custom runtimes.
"""

from __future__ import annotations

from pathlib import Path

from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.family import Family

CLIENT = Path(__file__).parent / "client"
START = StartCommand(("{python}",), ("-B", "-E", "-s", "-S", "/var/runtime/bootstrap.py"))

FAMILY = Family(
    name="go",
    language="Go",
    runtimes=("go1.x",),
    client=CLIENT,
    shared=(Path(__file__).parents[1] / "python/client/lambda_runtime_client.py",),
    lookup=None,
    start=lambda interpreter: START,
    has_language_paths=False,
    has_frames=False,
    has_old_key_names=True,
)
