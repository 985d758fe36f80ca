"""Terraform's AWS provider against a running server, with the configuration of examples/terraform."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import Server, zipped
from support.terraform import Terraform

pytestmark = [pytest.mark.root, pytest.mark.long]  # each run of the provider looks at everything: minutes in all

ACCOUNT = "700400000003"
CONFIGURATION = Path(__file__).parents[2] / "examples" / "terraform" / "main.tf"
GREET = "def handler(event, context):\n    return {'hello': event['name']}\n"


@pytest.fixture
def terraform(server: Server, tmp_path: Path) -> Terraform:
    shutil.copy(CONFIGURATION, tmp_path)
    (tmp_path / "function.zip").write_bytes(zipped({"app.py": GREET}))
    return Terraform(server, tmp_path, ACCOUNT)


def names(server: Server) -> dict[str, list[str]]:
    """What the account has, by kind."""

    def client(service: str) -> Any:
        return server.client(service, aws_access_key_id=ACCOUNT)

    lambda_, iam = client("lambda"), client("iam")
    return {
        "functions": [each["FunctionName"] for each in lambda_.list_functions()["Functions"]],
        "layers": [each["LayerName"] for each in lambda_.list_layers()["Layers"]],
        "signing": [each["Description"] for each in lambda_.list_code_signing_configs()["CodeSigningConfigs"]],
        "roles": [each["RoleName"] for each in iam.list_roles()["Roles"]],
        "policies": [each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]],
        "buckets": [each["Name"] for each in client("s3").list_buckets()["Buckets"]],
        "log groups": [each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]],
        "repositories": [each["repositoryName"] for each in client("ecr").describe_repositories()["repositories"]],
    }


def test_a_configuration_is_applied_found_unchanged_changed_and_destroyed(server: Server, terraform: Terraform) -> None:
    """All resources come at once; a plan then has nothing to do, after a change neither; at the end the account is empty."""
    applied = terraform.apply()
    assert re.search(r"answer = \{\s*\"hello\" = \"Ada\"\s*\}", applied), applied
    assert not terraform.finds_changes()
    assert terraform.finds_changes(stage="two")
    terraform.apply(stage="two")
    assert not terraform.finds_changes(stage="two")
    lambda_ = server.client("lambda", aws_access_key_id=ACCOUNT)
    live = lambda_.get_function(FunctionName="terraform-worker", Qualifier="live")["Configuration"]
    assert (live["Version"], live["Environment"]["Variables"]) == ("2", {"STAGE": "two"})
    provisioned = lambda_.get_provisioned_concurrency_config(FunctionName="terraform-worker", Qualifier="live")
    assert provisioned["Status"] == "READY"
    assert sum(map(len, names(server).values())) == 9
    terraform.destroy()
    assert not any(names(server).values()), names(server)
    with pytest.raises(ClientError, match="does not exist"):
        lambda_.get_layer_version(LayerName="terraform-library", VersionNumber=1)
