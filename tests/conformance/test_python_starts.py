"""How a Python runtime begins: forked from a zygote that has it all loaded, or from a wrapper script of the function's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import pytest

from lambdad.runtimes.python.family import CLIENT
from support.python_runtime import Python
from support.runtime_api import REQUEST_ID, RuntimeApi, RuntimeProcess

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

ZYGOTE = """
import os, socket, sys
sys.path.insert(0, os.environ["LAMBDA_RUNTIME_DIR"])
import bootstrap
bootstrap.preload()
import random
random.seed(1)
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
links = ["/proc/self/fd/" + name for name in os.listdir("/proc/self/fd")]
opened = [os.readlink(link) for link in links if os.path.islink(link)]  # Python 2.7 keeps /dev/urandom for itself
assert len([path for path in opened if path != "/dev/urandom"]) == 3, opened
assert len(os.listdir("/proc/self/task")) == 1
connection = socket.create_connection((host, int(port)))
child = os.fork()
if child == 0:
    fd = os.dup(connection.fileno())
    connection.close()
    os.environ["TZ"] = "Asia/Tokyo"
    bootstrap.serve(fd)
connection.close()
status = os.waitpid(child, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 99)
"""


@dataclass
class Zygote:
    python: Python

    def run(self, source: str, **environment: str) -> RuntimeProcess:
        self.python.write("app.py", source)
        program = self.python.folder / "zygote.py"
        program.write_text(ZYGOTE)
        command = [str(self.python.interpreter.executable), str(program)]
        return RuntimeProcess(command, self.python.folder / "task", CLIENT, self.python.api, environment=environment)


def test_a_fork_of_a_zygote_serves_like_a_program(python: Python) -> None:
    """Same answers, same logs, its own time zone, the function's exit status; `preload` left no threads or open files."""
    source = (
        "from __future__ import print_function\nimport logging, os, sys, time\n"
        "def handler(event, context):\n"
        "    print(u'h\\u00e9' if sys.version_info[0] > 2 else 'h\\xc3\\xa9')\n    logging.warning('w')\n"
        "    if event == 'exit':\n        sys.exit(7)\n"
        "    return [time.tzname[0], sys.modules['__main__'].__name__, 'bootstrap' in sys.modules]\n"
    )
    with Zygote(python).run(source) as process:
        assert json.loads(process.invoke().body) == ["JST", "__main__", False]
        python.api.give(b'"exit"')
        assert process.wait() == 7
        pattern = rf"(hé\n\[WARNING\]\t{TIMESTAMP}\t{REQUEST_ID}\tw\n){{2}}"
        assert re.fullmatch(pattern, process.ended_log())


def test_a_functions_own_module_wins_over_a_preloaded_one(python: Python) -> None:
    """A module of the package named like one that the zygote has loaded is what the function imports; data is no module."""
    python.write("calendar.py", "MINE = True\n")
    python.write("six.py", "MINE = True\n")
    python.write("uuid/__init__.py", "MINE = True\n")
    python.write("email/template.txt", "no module")
    python.write("queue.json", "{}")
    source = (
        "import sys\nbefore = sys.modules.get('email'), sys.modules.get('queue')\nimport calendar, six, uuid, email\n"
        "def handler(event, context):\n"
        "    return [calendar.MINE, six.MINE, uuid.MINE, before == (email, sys.modules.get('queue')), 'boto3' in sys.modules]\n"
    )
    with Zygote(python).run(source) as process:
        assert json.loads(process.invoke().body) == [True, True, True, True, False]


def test_forks_do_not_share_their_randomness(python: Python) -> None:
    """Two forks of a preloaded interpreter draw different numbers."""
    source = "import random\nfirst = random.random()\ndef handler(event, context):\n    return first\n"
    drawn = []
    for _ in range(2):
        with RuntimeApi() as api, Zygote(replace(python, api=api)).run(source) as process:
            drawn.append(process.invoke().body)
    assert drawn[0] != drawn[1]


WRAPPER = '#!/bin/sh\nfor argument; do echo "wrapped: $argument"; done\nexport WRAPPED=yes\nexec "$@"\n'


@pytest.mark.parametrize("is_forked", [False, True], ids=["program", "fork"])
def test_a_wrapper_script_is_run_with_the_clients_command_line(python: Python, is_forked: bool) -> None:
    """AWS_LAMBDA_EXEC_WRAPPER gets interpreter and client as arguments and may change the environment; not before 3.8."""
    wrapper = python.folder / "wrapper"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    source = (
        "import os\ndef handler(event, context):\n    return [os.environ.get('WRAPPED'), '_LAMBDAD_WRAPPED' in os.environ]\n"
    )
    runner = Zygote(python) if is_forked else python
    with runner.run(source, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper)) as process:
        answer = json.loads(process.invoke().body)
        log = process.ended_log()
    if python.version < (3, 8):
        assert answer == [None, False]
    else:
        assert answer == ["yes", False]
        assert f"wrapped: {CLIENT}/bootstrap.py\n" in log
        assert log.count("wrapped: ") == 2


@pytest.mark.parametrize("mode, status", [(None, 127), (0o644, 126)], ids=["missing", "not-executable"])
def test_a_wrapper_that_cannot_be_run_ends_the_process(python: Python, mode: int | None, status: int) -> None:
    """The process ends as a shell's would that cannot find or cannot execute its program."""
    wrapper = python.folder / "wrapper"
    if mode is not None:
        wrapper.write_text(WRAPPER)
        wrapper.chmod(mode)
    with python.run("def handler(event, context):\n    return 1\n", AWS_LAMBDA_EXEC_WRAPPER=str(wrapper)) as process:
        if python.version < (3, 8):  # wrappers came with python3.8
            assert process.invoke().body == b"1"
        else:
            assert process.wait() == status
            assert str(wrapper) in process.ended_log()
