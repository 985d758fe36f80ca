"""The AWS command line client's `lambda` commands, one story for each kind of thing that the API keeps."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.awscli_session import AwsCli
from support.server import ROLE, RUNTIME, Server, zipped

pytestmark = pytest.mark.root

ANSWER = "def handler(event, context):\n    return {answer!r}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    for name in ("one", "two"):
        (made / f"{name}.zip").write_bytes(zipped({"app.py": ANSWER.format(answer=name)}))
    (made / "layer.zip").write_bytes(zipped({"python/shared.py": "WORD = 'layer'\n"}))
    return made


@pytest.fixture(scope="module")
def aws(server: Server, folder: Path) -> Iterator[AwsCli]:
    with AwsCli(server, folder) as cli:
        yield cli


@pytest.fixture(scope="module")
def function(aws: AwsCli) -> list[str]:
    """A function with version 1, which answers "one"; the option that names it."""
    named = ["--function-name", "cli-story"]
    new = ["--runtime", RUNTIME, "--handler", "app.handler", "--role", ROLE, "--timeout", "60", "--zip-file", "fileb://one.zip"]
    aws("lambda", "create-function", *named, *new, "--tags", "stage=test,owner=me")
    aws("lambda", "wait", "function-active-v2", *named)
    assert aws("lambda", "publish-version", *named, "--description", "first")["Version"] == "1"
    return named


def invoked(aws: AwsCli, folder: Path, *options: str) -> str:
    aws("lambda", "invoke", *options, "out.json")
    return str(json.loads((folder / "out.json").read_text()))


def test_every_waiter_returns(aws: AwsCli, function: list[str]) -> None:
    """function-exists, function-active, function-updated, their second versions, and published-version-active."""
    for waiter in ("function-exists", "function-active", "function-active-v2", "function-updated", "function-updated-v2"):
        aws("lambda", "wait", waiter, *function)
    aws("lambda", "wait", "published-version-active", *function, "--qualifier", "1")
    said = aws.refused("lambda", "wait", "published-version-active", "--function-name", "cli-never-made")
    assert "Function not found" in said


def test_code_and_configuration_are_updated_under_their_revision(aws: AwsCli, function: list[str], folder: Path) -> None:
    """A dry run changes nothing, an old revision is refused, and a version keeps what it was published with."""
    before = aws("lambda", "get-function-configuration", *function)
    shown = aws("lambda", "update-function-code", *function, "--zip-file", "fileb://two.zip", "--dry-run")
    assert shown["CodeSha256"] != before["CodeSha256"]
    assert aws("lambda", "get-function-configuration", *function)["CodeSha256"] == before["CodeSha256"]
    revision = ["--revision-id", before["RevisionId"]]
    aws("lambda", "update-function-code", *function, "--zip-file", "fileb://two.zip", *revision)
    aws("lambda", "wait", "function-updated-v2", *function)
    said = aws.refused("lambda", "update-function-configuration", *function, "--timeout", "9", *revision)
    assert "PreconditionFailedException" in said
    settings = ["--timeout", "90", "--memory-size", "256", "--description", "story", "--environment", "Variables={MODE=new}"]
    aws("lambda", "update-function-configuration", *function, *settings, "--logging-config", "LogFormat=JSON")
    aws("lambda", "wait", "function-updated-v2", *function)
    after = aws("lambda", "get-function-configuration", *function)
    assert (after["Timeout"], after["MemorySize"], after["Environment"]) == (90, 256, {"Variables": {"MODE": "new"}})
    assert after["LoggingConfig"]["LogFormat"] == "JSON"
    assert (invoked(aws, folder, *function), invoked(aws, folder, *function, "--qualifier", "1")) == ("two", "one")
    location = aws("lambda", "get-function", *function, "--qualifier", "1")["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=30) as package:
        assert package.read() == (folder / "one.zip").read_bytes()


def test_versions_are_listed_in_pages_and_deleted(aws: AwsCli, function: list[str]) -> None:
    """The client follows the markers; a version goes alone, and its number is not given again."""
    aws("lambda", "update-function-configuration", *function, "--description", "another")
    aws("lambda", "wait", "function-updated-v2", *function)
    number = aws("lambda", "publish-version", *function)["Version"]
    listed = aws("lambda", "list-versions-by-function", *function, "--page-size", "1")["Versions"]
    assert [each["Version"] for each in listed] == ["$LATEST", "1", number]
    aws("lambda", "delete-function", *function, "--qualifier", number)
    aws("lambda", "update-function-configuration", *function, "--description", "and another")
    aws("lambda", "wait", "function-updated-v2", *function)
    assert int(aws("lambda", "publish-version", *function)["Version"]) == int(number) + 1


def test_an_alias_moves_and_shares(aws: AwsCli, function: list[str], folder: Path) -> None:
    """create-alias, update-alias with weights and without, list-aliases, get-alias, delete-alias."""
    alias = [*function, "--name", "cli-alias"]
    made = aws("lambda", "create-alias", *alias, "--function-version", "1")
    assert made["AliasArn"].endswith(":cli-story:cli-alias")
    assert invoked(aws, folder, *function, "--qualifier", "cli-alias") == "one"
    newest = aws("lambda", "list-versions-by-function", *function)["Versions"][-1]["Version"]
    weights = ["--routing-config", f"AdditionalVersionWeights={{{newest}=0.25}}"]
    aws("lambda", "update-alias", *alias, *weights)
    assert aws("lambda", "get-alias", *alias)["RoutingConfig"] == {"AdditionalVersionWeights": {newest: 0.25}}
    assert [each["Name"] for each in aws("lambda", "list-aliases", *function)["Aliases"]] == ["cli-alias"]
    aws("lambda", "update-alias", *alias, "--routing-config", "{}")
    assert "RoutingConfig" not in aws("lambda", "get-alias", *alias)
    aws("lambda", "delete-alias", *alias)
    assert "Cannot find alias arn" in aws.refused("lambda", "get-alias", *alias)


def test_a_layer_is_published_shared_and_used(aws: AwsCli, function: list[str], folder: Path) -> None:
    """Every command on layers; the function imports what its layer brings, also when the layer's version is gone."""
    layer = ["--layer-name", "cli-layer"]
    content = ["--zip-file", "fileb://layer.zip", "--compatible-runtimes", RUNTIME, "--license-info", "MIT"]
    made = aws("lambda", "publish-layer-version", *layer, *content)
    version = [*layer, "--version-number", str(made["Version"])]
    assert aws("lambda", "get-layer-version", *version)["LayerVersionArn"] == made["LayerVersionArn"]
    by_arn = aws("lambda", "get-layer-version-by-arn", "--arn", made["LayerVersionArn"])
    assert by_arn["Content"]["CodeSha256"] == made["Content"]["CodeSha256"]
    matching = aws("lambda", "list-layers", "--compatible-runtime", RUNTIME)["Layers"]
    assert "cli-layer" in [each["LayerName"] for each in matching]
    assert len(aws("lambda", "list-layer-versions", *layer)["LayerVersions"]) == 1
    statement = ["--statement-id", "all", "--action", "lambda:GetLayerVersion", "--principal", "*"]
    aws("lambda", "add-layer-version-permission", *version, *statement)
    policy = json.loads(aws("lambda", "get-layer-version-policy", *version)["Policy"])
    assert policy["Statement"][0]["Sid"] == "all"
    aws("lambda", "remove-layer-version-permission", *version, "--statement-id", "all")
    source = "import shared\ndef handler(event, context):\n    return shared.WORD\n"
    (folder / "layered.zip").write_bytes(zipped({"app.py": source}))
    new = [
        "--runtime",
        RUNTIME,
        "--handler",
        "app.handler",
        "--role",
        ROLE,
        "--timeout",
        "60",
        "--zip-file",
        "fileb://layered.zip",
    ]
    aws("lambda", "create-function", "--function-name", "cli-layered", *new, "--layers", made["LayerVersionArn"])
    aws("lambda", "wait", "function-active-v2", "--function-name", "cli-layered")
    aws("lambda", "delete-layer-version", *version)
    assert invoked(aws, folder, "--function-name", "cli-layered") == "layer"


def test_permissions_are_added_shown_and_removed(aws: AwsCli, function: list[str]) -> None:
    """add-permission, get-policy, remove-permission."""
    given = ["--statement-id", "s3", "--action", "lambda:InvokeFunction", "--principal", "s3.amazonaws.com"]
    only = ["--source-arn", "arn:aws:s3:::cli-bucket", "--source-account", "123456789012"]
    added = json.loads(aws("lambda", "add-permission", *function, *given, *only)["Statement"])
    assert added["Condition"]["ArnLike"] == {"AWS:SourceArn": "arn:aws:s3:::cli-bucket"}
    assert json.loads(aws("lambda", "get-policy", *function)["Policy"])["Statement"] == [added]
    aws("lambda", "remove-permission", *function, "--statement-id", "s3")
    assert "ResourceNotFoundException" in aws.refused("lambda", "get-policy", *function)


def test_code_signing_is_configured(aws: AwsCli, function: list[str]) -> None:
    """Every command on the configurations; one that a function uses cannot go."""
    profile = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/cli/0123456789"
    publishers = ["--allowed-publishers", f"SigningProfileVersionArns={profile}"]
    made = aws("lambda", "create-code-signing-config", *publishers, "--description", "cli")["CodeSigningConfig"]
    on = ["--code-signing-config-arn", made["CodeSigningConfigArn"]]
    policy = ["--code-signing-policies", "UntrustedArtifactOnDeployment=Enforce"]
    aws("lambda", "update-code-signing-config", *on, *policy)
    shown = aws("lambda", "get-code-signing-config", *on)["CodeSigningConfig"]
    assert shown["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    listed = aws("lambda", "list-code-signing-configs")["CodeSigningConfigs"]
    assert made["CodeSigningConfigId"] in [each["CodeSigningConfigId"] for each in listed]
    aws("lambda", "put-function-code-signing-config", *on, *function)
    assert aws("lambda", "get-function-code-signing-config", *function)["CodeSigningConfigArn"] == on[1]
    users = aws("lambda", "list-functions-by-code-signing-config", *on)["FunctionArns"]
    assert [arn.rpartition(":")[2] for arn in users] == ["cli-story"]
    assert "ResourceConflictException" in aws.refused("lambda", "delete-code-signing-config", *on)
    aws("lambda", "delete-function-code-signing-config", *function)
    aws("lambda", "delete-code-signing-config", *on)
    assert "ResourceNotFoundException" in aws.refused("lambda", "get-code-signing-config", *on)


def test_runtime_updates_are_managed(aws: AwsCli, function: list[str]) -> None:
    """put-runtime-management-config and get-runtime-management-config."""
    arn = aws("lambda", "get-function-configuration", *function)["RuntimeVersionConfig"]["RuntimeVersionArn"]
    manual = ["--update-runtime-on", "Manual", "--runtime-version-arn", arn]
    aws("lambda", "put-runtime-management-config", *function, *manual)
    shown = aws("lambda", "get-runtime-management-config", *function)
    assert (shown["UpdateRuntimeOn"], shown["RuntimeVersionArn"]) == ("Manual", arn)
    aws("lambda", "put-runtime-management-config", *function, "--update-runtime-on", "Auto")
    assert aws("lambda", "get-runtime-management-config", *function)["UpdateRuntimeOn"] == "Auto"


def test_concurrency_is_reserved_and_provisioned(aws: AwsCli, function: list[str]) -> None:
    """The four commands on each, and how it shows in get-function and in the account's settings."""
    unreserved = aws("lambda", "get-account-settings")["AccountLimit"]["UnreservedConcurrentExecutions"]
    aws("lambda", "put-function-concurrency", *function, "--reserved-concurrent-executions", "5")
    assert aws("lambda", "get-function-concurrency", *function) == {"ReservedConcurrentExecutions": 5}
    assert aws("lambda", "get-function", *function)["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert aws("lambda", "get-account-settings")["AccountLimit"]["UnreservedConcurrentExecutions"] == unreserved - 5
    one = [*function, "--qualifier", "1"]
    put = aws("lambda", "put-provisioned-concurrency-config", *one, "--provisioned-concurrent-executions", "1")
    assert put["RequestedProvisionedConcurrentExecutions"] == 1
    assert aws("lambda", "get-provisioned-concurrency-config", *one)["Status"] in ("IN_PROGRESS", "READY")
    assert len(aws("lambda", "list-provisioned-concurrency-configs", *function)["ProvisionedConcurrencyConfigs"]) == 1
    aws("lambda", "delete-provisioned-concurrency-config", *one)
    aws("lambda", "delete-function-concurrency", *function)
    assert aws("lambda", "get-function-concurrency", *function) in (None, {})


def test_settings_of_asynchronous_invocation(aws: AwsCli, function: list[str]) -> None:
    """put replaces, update merges, list shows, delete ends."""
    aws("lambda", "put-function-event-invoke-config", *function, "--maximum-retry-attempts", "0")
    aws("lambda", "update-function-event-invoke-config", *function, "--maximum-event-age-in-seconds", "120")
    config = aws("lambda", "get-function-event-invoke-config", *function)
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, 120)
    assert len(aws("lambda", "list-function-event-invoke-configs", *function)["FunctionEventInvokeConfigs"]) == 1
    aws("lambda", "delete-function-event-invoke-config", *function)
    assert "ResourceNotFoundException" in aws.refused("lambda", "get-function-event-invoke-config", *function)


def test_a_function_url(aws: AwsCli, function: list[str]) -> None:
    """Made for an alias, found, changed and taken away again."""
    aws("lambda", "create-alias", *function, "--name", "cli-url", "--function-version", "1")
    on = [*function, "--qualifier", "cli-url"]
    made = aws("lambda", "create-function-url-config", *on, "--auth-type", "NONE", "--cors", "AllowOrigins=https://a.example")
    assert ".lambda-url.us-east-1." in made["FunctionUrl"]
    changed = aws("lambda", "update-function-url-config", *on, "--auth-type", "AWS_IAM", "--invoke-mode", "RESPONSE_STREAM")
    assert (changed["FunctionUrl"], changed["AuthType"], changed["InvokeMode"]) == (
        made["FunctionUrl"],
        "AWS_IAM",
        "RESPONSE_STREAM",
    )
    assert aws("lambda", "get-function-url-config", *on)["Cors"] == {"AllowOrigins": ["https://a.example"]}
    listed = aws("lambda", "list-function-url-configs", *function)["FunctionUrlConfigs"]
    assert [each["FunctionUrl"] for each in listed] == [made["FunctionUrl"]]
    aws("lambda", "delete-function-url-config", *on)
    assert "ResourceNotFoundException" in aws.refused("lambda", "get-function-url-config", *on)


def test_tags_and_loops(aws: AwsCli, function: list[str]) -> None:
    """tag-resource, list-tags, untag-resource; put and get of the recursion config."""
    arn = aws("lambda", "get-function-configuration", *function)["FunctionArn"]
    aws("lambda", "tag-resource", "--resource", arn, "--tags", "stage=live")
    assert aws("lambda", "list-tags", "--resource", arn)["Tags"] == {"stage": "live", "owner": "me"}
    aws("lambda", "untag-resource", "--resource", arn, "--tag-keys", "owner")
    assert aws("lambda", "get-function", *function)["Tags"] == {"stage": "live"}
    aws("lambda", "put-function-recursion-config", *function, "--recursive-loop", "Allow")
    assert aws("lambda", "get-function-recursion-config", *function) == {"RecursiveLoop": "Allow"}


def test_functions_are_listed_in_pages_and_go(aws: AwsCli, function: list[str]) -> None:
    """list-functions over all pages has each function once; what is deleted is not found, and can be made again."""
    names = [each["FunctionName"] for each in aws("lambda", "list-functions", "--page-size", "1")["Functions"]]
    assert len(names) == len(set(names))
    assert "cli-story" in names
    new = ["--runtime", RUNTIME, "--handler", "app.handler", "--role", ROLE, "--timeout", "60", "--zip-file", "fileb://one.zip"]
    for _ in range(2):
        aws("lambda", "create-function", "--function-name", "cli-short", *new)
        aws("lambda", "delete-function", "--function-name", "cli-short")
        assert "ResourceNotFoundException" in aws.refused("lambda", "get-function", "--function-name", "cli-short")
