"""A program: takes commands of the AWS client, each a line with a JSON list; answers with exit code and what was printed."""

from __future__ import annotations

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver


def serve() -> None:
    driver = create_clidriver()
    for line in sys.stdin:
        output, errors = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                code = driver.main(json.loads(line))
            except SystemExit as ended:
                code = ended.code
            output.flush()
        print(json.dumps([code, output.buffer.getvalue().decode(), errors.getvalue()]), flush=True)


if __name__ == "__main__":
    serve()
