"""What is special about functions in .NET: methods as handlers, the package's own interfaces, the start script."""

from __future__ import annotations

import hmac
import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from support.dotnet_function import describe, example
from support.dotnet_runtime import NEW, OLD, Dotnet, answer, do, error
from support.runtime_api import ARN, REQUEST_ID

SHAPES = [
    ("Shapes::Object", {"Name": "tea", "Count": 2, "Inner": None}, {"Name": "tea of hello", "Count": 3, "Inner": None}),
    ("Shapes::Values", 3, {"Amount": 1.5}),
    ("Shapes::Async", {"Count": 5}, 6),
    ("Shapes::ContextAlone", "not looked at", REQUEST_ID),
    ("Shapes::Static", {"k": [1]}, {"k": [1]}),
    ("Shapes::AsyncStream", "abc", "ABC"),
    ("Shapes::Hidden", "x", "hidden x"),
    ("Shapes::System.String Twice(System.String)", "x", "text x"),
    ("Shapes::System.String Twice(Int32)", 7, "number 7"),
    ("Derived::Handle", [1, 2, 3], [3, 2, 1]),
    ("ValueHandler::Handle", "x", "by a struct: x"),
]


@pytest.mark.parametrize("handler, event, expected", SHAPES, ids=[shape[0] for shape in SHAPES])
def test_methods_of_every_shape_are_handlers(dotnet: Dotnet, handler: str, event: Any, expected: Any) -> None:
    """Static or not, public or not, inherited from a generic class, async or not, of streams or of objects, by signature."""
    with dotnet.run(f"Example::Example.{handler}") as process:
        assert answer(process, event) == expected


@pytest.mark.parametrize("method", ["Nothing", "AsyncNothing", "Neither", "NoStream"])
def test_a_method_that_returns_nothing_answers_with_nothing(dotnet: Dotnet, method: str) -> None:
    """An empty body, as on AWS."""
    with dotnet.run(f"Example::Example.Shapes::{method}") as process:
        for _ in range(2):
            told = process.invoke(b'{"Count": 1}')
            assert (told.kind, told.body) == ("response", b"")


def test_a_package_needs_no_library_of_aws(dotnet: Dotnet) -> None:
    """A method of streams without a context runs without Amazon.Lambda.Core."""
    with dotnet.run("Plain::Plain::Handle", example("plain")) as process:
        assert answer(process, "as it is") == "as it is"


def test_aspnet_is_there_as_on_aws(dotnet: Dotnet) -> None:
    """A package that names it as its framework brings none of its assemblies along."""
    if not list(dotnet.old.interpreter.language_root.glob("bin/shared/Microsoft.AspNetCore.App")):
        pytest.skip("no ASP.NET Core beside this .NET, which was installed without npm")
    with dotnet.run("Web::Web::Handle", example("aspnet")) as process:
        assert answer(process, {}) == "?a=1%202"


WRONG = [
    ("Example", "Invalid lambda function handler: 'Example'. The valid format is 'ASSEMBLY::TYPE::METHOD'."),
    ("Example::::X", "Invalid lambda function handler: 'Example::::X', the type is missing."),
    ("Example::X::", "Invalid lambda function handler: 'Example::X::', the method is missing."),
    (
        "Absent::Example.Wrong::X",
        "Could not find the specified handler assembly with the file name 'Absent, Culture=neutral, PublicKeyToken=null'."
        " The assembly should be located in the root of your uploaded .zip file.",
    ),
    ("Example::Example.Absent::X", "Unable to load type 'Example.Absent' from assembly 'Example'."),
    (
        "Example::Example.Wrong::Absent",
        "Unable to find method 'Absent' in type 'Example.Wrong' from assembly 'Example': Found no methods matching method name"
        " 'Absent'.",
    ),
    (
        "Example::Example.Shapes::Twice",
        "The method 'Twice' in type 'Example.Shapes' appears to have a number of overloads. To call this method please specify"
        " a complete method signature. Possible candidates are:\nSystem.String Twice(System.String)\nSystem.String Twice"
        "(Int32).",
    ),
    (
        "Example::Example.Wrong::NoSerializer",
        "Could not find the LambdaSerializerAttribute on the assembly 'Example' or method 'NoSerializer' while attempting to"
        " deserialize input data of type 'System.String'.",
    ),
    (
        "Example::Example.Wrong::Three",
        "Method 'Three' of type 'Example.Wrong' is not supported: the method has more than 2 parameters.",
    ),
    (
        "Example::Example.Wrong::SecondIsNoContext",
        "Method 'SecondIsNoContext' of type 'Example.Wrong' is not supported: the method has 2 parameters, but the second"
        " parameter is not of type 'Amazon.Lambda.Core.ILambdaContext'.",
    ),
    ("Example::Example.Wrong::Generic", "cannot be used as a Lambda Handler because it is a generic method."),
    ("Example::Example.Wrong::AsyncVoid", "cannot be used as a Lambda Handler because it is an 'async void' method."),
    ("Example::Example.Wrong::Params", "cannot be used as a Lambda Handler because it is a 'params' method."),
    ("Example::Example.Abstract::Handle", "cannot be used as a Lambda Handler because it is an abstract method."),
    ("Example::Example.Abstract::Whole", "because its type 'Example.Abstract' is abstract."),
    ("Example::Example.GenericType`1::Handle", "cannot be used as a Lambda Handler type because it is generic."),
    ("Example::Example.IHandler::Handle", "because it is an abstract method."),
    (
        "Example::Example.Wrong::BadSerializer",
        "The 'Example.NoSerializerAtAll' class is invalid: it does not implement the 'ILambdaSerializer' interface.",
    ),
    (
        "Example::Example.Wrong::SerializerWithArgument",
        "The indicated serializer 'Example.NeedsAnArgument' does not define a public zero-parameter constructor.",
    ),
    ("Example::Example.Wrong::NullSerializer", "The 'SerializerType' property on attribute class"),
]


@pytest.mark.parametrize("handler, message", WRONG, ids=[handler for handler, _ in WRONG])
def test_what_is_no_handler_says_why_in_awss_words(dotnet: Dotnet, tmp_path: Path, handler: str, message: str) -> None:
    """As an error of Init, after which the process ends."""
    package = example()
    if handler.startswith("Absent"):
        package = Path(shutil.copytree(package, tmp_path / "package"))
        describe(package, "Absent", "3.1.0")
    with dotnet.run(handler, package) as process:
        told = process.api.told.get(timeout=100)
        assert process.wait() == 1
    assert told.kind == "init/error"
    payload = error(told)
    assert payload["errorType"] == "LambdaException"
    assert message in payload["errorMessage"]


@pytest.mark.parametrize(
    "handler, kinds",
    [
        ("Example.FailsToBegin", ["TargetInvocationException", "InvalidOperationException"]),
        ("Example.FailsToLoad", ["TypeInitializationException", "FormatException"]),
    ],
)
def test_what_the_functions_own_code_throws_at_its_start_is_told(dotnet: Dotnet, handler: str, kinds: list[str]) -> None:
    """By a constructor or a static initializer, with the cause."""
    with dotnet.run(f"Example::{handler}::Handle") as process:
        payload = error(process.api.told.get(timeout=100))
        assert process.wait() == 1
        assert [payload["errorType"], payload["cause"]["errorType"]] == kinds
        assert payload["cause"]["errorMessage"] in process.ended_log()


def test_exceptions_come_with_their_causes_and_without_the_client(dotnet: Dotnet) -> None:
    """Their stacks end at the handler; X-Ray's cause comes in a header; and the process goes on, whatever it does."""
    with dotnet.run("Example::Example.Process::Handle") as process:
        told = do(process, "throw")
        payload = error(told)
        assert list(payload) == ["errorType", "errorMessage", "stackTrace"]
        assert (payload["errorType"], payload["errorMessage"]) == ("TimeoutException", 'too "late"\nこ')
        assert payload["stackTrace"][0].startswith("at Example.Process.")
        assert payload["stackTrace"][-1].startswith("at Example.Process.Handle(Dictionary`2 input, ILambdaContext context)")
        (cause,) = json.loads(told.headers["lambda-runtime-function-xray-error-cause"])["exceptions"]
        assert (cause["type"], cause["message"]) == ("TimeoutException", 'too "late"\nこ')
        assert cause["stack"][-1] == {"label": "Process.Handle"}
        payload = error(do(process, "causes"))
        assert payload["cause"]["errorMessage"] == "inner"
        assert payload["cause"]["cause"] == {"errorType": "TimeoutException", "errorMessage": "innermost"}
        payload = error(do(process, "aggregate"))
        assert [cause["errorType"] for cause in payload["causes"]] == ["TimeoutException", "ArgumentException"]
        assert error(do(process, "hostile")) == {"errorType": "HostileException", "errorMessage": "HostileException"}
        assert error(do(process, "never-thrown"))["errorMessage"] == "never thrown"
        assert error(process.invoke(b"no JSON"))["errorType"] == "JsonSerializerException"
        assert json.loads(do(process, "calls").body) == 6
        assert 'too "late"\rこ: TimeoutException\r   at Example.Process.' in process.ended_log()


def test_the_context_has_all_fields(dotnet: Dotnet) -> None:
    """Also those of later versions of the interface. What no client sent is null, and so is what is no JSON."""
    with dotnet.run("Example::Example.Process::Handle") as process:
        told = json.loads(do(process, "context").body)
        assert 0 < told.pop("remaining") <= 30_000
        trace = told.pop("trace")
        assert trace.startswith("Root=1-")
        absent = dict.fromkeys(("tenant", "identity", "client", "custom", "environment"))
        assert told == {"function": "hello", "arn": ARN, "memory": 128, **absent}
        event = json.dumps({"do": "context"}).encode()
        client = {"client": {"app_title": "title"}, "custom": {"a": "1", "b": 2, "c": [1, {}]}, "env": {}}
        headers = {"client_context": json.dumps(client), "cognito_identity": '{"cognitoIdentityId": "i"}'}
        told = json.loads(process.invoke(event, aws_tenant_id="blue", **headers).body)
        assert (told["client"], told["custom"]) == ("title", {"a": "1", "b": "2", "c": "[1, {}]"})
        assert (told["environment"], told["identity"], told["tenant"]) == ({}, "i", "blue")
        for hostile in ("", "{", "[]", '{"custom": 3}', '{"a":' * 1000, '"\\u00zz"', "nul", "{}x"):
            told = json.loads(process.invoke(event, client_context=hostile, cognito_identity=hostile).body)
            assert (told["custom"], told["identity"]) == (None, None)


def test_a_function_finds_its_surroundings_clean(dotnet: Dotnet) -> None:
    """Nothing in its folder for temporary files, none of the platform's variables, its own folder as the working directory, and
    OpenSSL and the machine's cultures."""
    with dotnet.run("Example::Example.Process::Handle", _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        found = json.loads(do(process, "surroundings").body)
        assert found["temporary"] == []
        assert found["folder"] == str(example().resolve())
        assert "_LAMBDA_TELEMETRY_LOG_FD" not in found["environment"]
        assert found["framework"].startswith(".NET Core 3.1")
        assert json.loads(do(process, "hash").body) == hmac.digest(b"key", b"text", "sha256").hex()
        assert json.loads(do(process, "month").body) in ("März", "March")
    with dotnet.run("Example::Example.Process::Handle", DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1") as process:
        assert json.loads(do(process, "month").body) == "March"


def test_a_functions_variables_may_have_any_names(dotnet: Dotnet) -> None:
    """None is changed by the script that starts .NET, whatever that calls its own."""
    names = ("name", "client", "dotnet", "major", "found", "total", "line", "folder", "own", "left")
    variables = {name: f"the function's {name}" for name in names}
    with dotnet.run("Example::Example.Process::Handle", **variables) as process:
        found = json.loads(do(process, "surroundings").body)["environment"]
        assert {name: found.get(name) for name in variables} == variables


def test_started_programs_do_not_inherit_the_connection(dotnet: Dotnet) -> None:
    """Nor would one that outlives the function hold it open."""
    with dotnet.run("Example::Example.Process::Handle") as process:
        assert "socket:" not in json.loads(do(process, "open-files").body)


@pytest.mark.parametrize(
    "megabytes, own, heap, first",
    [
        ("128", {}, "6000000", "1500000"),
        ("512", {}, "1cd00000", "2000000"),
        ("10240", {}, "240000000", "2000000"),
        ("128", {"DOTNET_GCHeapHardLimit": "5000000", "COMPlus_GCgen0size": "400000"}, None, "400000"),
    ],
)
def test_dotnet_is_told_of_the_functions_memory(
    dotnet: Dotnet, megabytes: str, own: dict[str, str], heap: str | None, first: str
) -> None:
    """In hexadecimal, and only what the function has not said itself."""
    variables = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": megabytes, **own}
    with dotnet.run("Example::Example.Process::Handle", **variables) as process:
        found = json.loads(do(process, "surroundings").body)["environment"]
        assert (found.get("COMPlus_GCHeapHardLimit"), found["COMPlus_GCgen0size"]) == (heap, first)
        assert {name: found[name] for name in own} == own


def test_a_package_may_limit_its_heap_itself(dotnet: Dotnet, tmp_path: Path) -> None:
    """In its runtimeconfig.json, which a variable would overrule."""
    package = Path(shutil.copytree(example(), tmp_path / "package"))
    file = package / "Example.runtimeconfig.json"
    settings = json.loads(file.read_text())
    settings["runtimeOptions"]["configProperties"] = {"System.GC.HeapHardLimit": 50 << 20}
    file.write_text(json.dumps(settings))  # all in one line, which does not end
    with dotnet.run("Example::Example.Process::Handle", package) as process:
        assert "COMPlus_GCHeapHardLimit" not in json.loads(do(process, "surroundings").body)["environment"]
        assert error(do(process, "replace", megabytes=60))["errorType"] == "OutOfMemoryException"
        assert json.loads(do(process, "replace", megabytes=20).body) == 200


def test_events_and_results_of_megabytes_pass(dotnet: Dotnet) -> None:
    """As they are, and one that is too large is only its own invocation's end."""
    with dotnet.run("Example::Example.Shapes::Static") as process:
        large = b'"' + b"x" * 6_000_000 + b'"'
        assert process.invoke(large).body == large
        assert process.invoke(b'"' + b"x" * 6_400_000 + b'"').headers["content-length"] == "6400002"
        assert answer(process, "small") == "small"


@pytest.mark.parametrize(
    "is_wanted, variables",
    [
        (True, {"AWS_LAMBDA_DOTNET_PREJIT": "always"}),
        (True, {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}),
        (False, {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency", "AWS_LAMBDA_DOTNET_PREJIT": "Never"}),
        (False, {"AWS_LAMBDA_DOTNET_PREJIT": "ProvisionedConcurrency"}),
    ],
)
def test_code_is_compiled_ahead_where_that_is_wanted(dotnet: Dotnet, is_wanted: bool, variables: dict[str, str]) -> None:
    """Also methods that nobody calls: what they need has been loaded."""
    with dotnet.run("Example::Example.Process::Handle", **variables) as process:
        assert json.loads(do(process, "loaded").body) == is_wanted


def test_a_function_ends_its_process(dotnet: Dotnet) -> None:
    """By an exit, with its status, or by an exception on a thread of its own, which nothing catches."""
    with dotnet.run("Example::Example.Process::Handle") as process:
        process.api.give(b'{"do": "exit", "status": 7}')
        assert process.wait() == 7
        assert process.api.told.empty()
    with dotnet.run("Example::Example.Process::Handle") as process:
        process.api.give(b'{"do": "thread"}')
        assert process.wait() == -6
        assert "of a thread" in process.ended_log()
        assert process.api.told.empty()


def test_an_answer_that_the_platform_refuses_ends_the_process(dotnet: Dotnet) -> None:
    """With the reason in the log; nothing of an invocation is lost in silence."""
    with dotnet.run("Example::Example.Process::Handle") as process:
        process.api.refuse.append((500, b'{"errorType":"InternalServerError"}', False))
        do(process, "calls")
        assert process.wait() == 1
        assert "lambdad: the Runtime API refused an answer: 500 " in process.ended_log()


WRAPPER = """#!/bin/sh
echo "wrapped: $@"
WRAPPED=yes exec "$@"
"""


def test_a_wrapper_gets_the_command_line(dotnet: Dotnet, tmp_path: Path) -> None:
    """Of `dotnet` with the function's own files; where it cannot be run, the status is a shell's."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    with dotnet.run("Example::Example.Process::Handle", AWS_LAMBDA_EXEC_WRAPPER=str(wrapper)) as process:
        found = json.loads(do(process, "surroundings").body)
        assert found["environment"]["WRAPPED"] == "yes"
        line = process.ended_log().splitlines()[0]
        package = re.escape(str(example()))
        assert re.search(
            rf"/bin/dotnet exec --depsfile {package}/Example\.deps\.json --runtimeconfig {package}/Example\.runt", line
        )
    wrapper.chmod(0o644)
    for path, status, said in ((wrapper, 126, "is not an executable"), (tmp_path / "absent", 127, "does not exist")):
        with dotnet.run("Example::Example.Process::Handle", AWS_LAMBDA_EXEC_WRAPPER=str(path)) as process:
            assert process.wait() == status
            assert process.ended_log() == f"{path}: {said}\n"


def test_the_handler_may_be_a_program(dotnet: Dotnet, tmp_path: Path) -> None:
    """From .NET 6 on: an assembly with a Main, by its name with or without .dll, or an executable file."""
    for handler in ("Program", "Program.dll"):
        with dotnet.run(handler, example("program"), runtime=NEW) as process:
            assert answer(process, "x") == {"arguments": 0, "runtime": NEW, "input": "x"}
    script = tmp_path / "package" / "native"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 9\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with dotnet.run("native", script.parent, runtime=NEW) as process:
        assert process.wait() == 9
    with dotnet.run("Absent", script.parent, runtime=NEW) as process:
        assert process.wait() == 104
        place = f"{script.parent}/Absent"
        assert process.ended_log() == f"Error: executable assembly {place}.dll or binary {place} not found.\n"


@pytest.mark.parametrize(
    "kind, status", [("deps.json", 105), ("runtimeconfig.json", 106)], ids=["without its deps", "without its runtimeconfig"]
)
def test_a_package_without_its_descriptions_is_refused(dotnet: Dotnet, tmp_path: Path, kind: str, status: int) -> None:
    """With AWS's exit status; a single one of another name is taken, as it may be of the project."""
    package = Path(shutil.copytree(example(), tmp_path / "package"))
    (package / f"Example.{kind}").rename(package / f"Project.{kind}")
    with dotnet.run("Example::Example.Shapes::Static", package) as process:
        assert answer(process, 1) == 1
    (package / f"Other.{kind}").write_text("{}")
    with dotnet.run("Example::Example.Shapes::Static", package) as process:
        assert process.wait() == status
        assert f"directory is missing the required .{kind} file." in process.ended_log()
    with dotnet.run("Example::Example.Shapes::Static", package, LAMBDA_DOTNET_MAIN_ASSEMBLY="Project") as process:
        assert answer(process, 1) == 1


def test_a_package_for_a_version_that_is_not_there_says_so(dotnet: Dotnet, tmp_path: Path) -> None:
    """In .NET's own words; but a runtime that stands in for another runs what was made for that."""
    package = Path(shutil.copytree(example(), tmp_path / "package"))
    for wanted, runtime in (("9.0.0", OLD), ("2.1.0", OLD)):
        describe(package, "Example", wanted)
        with dotnet.run("Example::Example.Shapes::Static", package, runtime=runtime) as process:
            assert process.wait() == 150
            assert wanted in process.ended_log()
    with dotnet.run("Example::Example.Shapes::Static", package, runtime=NEW) as process:
        assert answer(process, 1) == 1


def test_an_assembly_that_is_none_says_so(dotnet: Dotnet, tmp_path: Path) -> None:
    """A file of that name with anything in it."""
    package = Path(shutil.copytree(example(), tmp_path / "package"))
    (package / "Example.dll").write_bytes(b"MZ not an assembly" * 100)
    with dotnet.run("Example::Example.Shapes::Static", package) as process:
        assert error(process.api.told.get(timeout=100))["errorMessage"] == "Unable to load assembly 'Example'."
        assert process.wait() == 1
