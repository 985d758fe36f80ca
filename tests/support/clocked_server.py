"""`python clocked_server.py OFFSET up ...`: lambdad with a clock for its events that is OFFSET seconds ahead of the machine's.

So a test of retries that are minutes apart starts the server again, later, and waits for nothing.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from lambdad import app
from lambdad.cli.main import main

_serve = app.serve


def run(offset_seconds: float) -> None:
    def serve(settings: Any, *, announce: Any) -> Any:
        return _serve(settings, announce=announce, clock=lambda: time.time() + offset_seconds)

    app.serve = serve  # type: ignore[assignment]
    main()


if __name__ == "__main__":
    offset = float(sys.argv.pop(1))
    run(offset)
