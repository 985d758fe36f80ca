"""Enforce or refuse: what the service models offer is served or refused, never ignored."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import botocore.loaders
import botocore.model
import pytest

from lambdad.model.service import Service
from lambdad.wire.spec import ServiceSpec

SERVICES = ("lambda_", "s3", "logs", "iam", "sts", "signer", "ecr")
SOURCE = Path(__file__).parents[2] / "src" / "lambdad"

#: Members which by AWS's own documentation change nothing, so that taking them without effect is exact.
NO_EFFECT_ON_AWS = {
    "PutLogEvents.sequenceToken": "PutLogEvents actions are always accepted and the token is ignored",
    "FilterLogEvents.interleaved": "deprecated: the value is ignored, responses are always interleaved",
    "FilterLogEvents.unmask": "shows what a data protection policy masks; there are none, nothing is masked",
    "GetLogEvents.unmask": "as above",
}
#: Members that choose among things of which there are none here: whatever they choose, nothing is the answer.
NOTHING_TO_CHOOSE_FROM = {
    "ListServiceSpecificCredentials.AllUsers",
    "ListServiceSpecificCredentials.ServiceName",
    "ListVirtualMFADevices.AssignmentStatus",
}


def service(folder: str) -> Service:
    return importlib.import_module(f"lambdad.services.{folder}").SERVICE


@cache
def model(name: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(name, "service-2"), name)


@pytest.mark.parametrize("folder", SERVICES)
def test_every_operation_is_served_or_refused_with_a_reason(folder: str) -> None:
    """The operations and NOT_YET together are the model's operations, each once, each refusal with a reason."""
    served, refused = set(service(folder).operations), set(service(folder).not_yet)
    assert not served & refused
    assert served | refused == set(model(service(folder).name).operation_names)
    assert all(reason.strip() for reason in service(folder).not_yet.values())


@pytest.mark.parametrize("folder", SERVICES)
def test_the_newest_model_is_served(folder: str) -> None:
    """What the server routes and checks by is the newest version of the model that botocore has, and all its operations."""
    spec = ServiceSpec(service(folder).name)
    assert spec.api_version == max(botocore.loaders.Loader().list_api_versions(service(folder).name, "service-2"))
    assert set(spec.operation_names) == set(model(service(folder).name).operation_names)


@pytest.mark.parametrize("folder", SERVICES)
def test_every_operation_says_which_rights_it_needs(folder: str) -> None:
    """With `--auth on` nothing is served that is not put to the policies; those of the Lambda API are all known beforehand."""
    operations = set(model(service(folder).name).operation_names)
    known = service(folder).permissions
    assert set(known) <= operations
    assert set(service(folder).operations if folder != "lambda_" else operations) <= set(known)
    asked = [permission for permissions in known.values() for permission in permissions]
    assert all(
        re.fullmatch(r"(ecr|iam|lambda|logs|s3|signer|sts):[A-Z][A-Za-z0-9]+", permission.action) for permission in asked
    )
    free = {name for name, permissions in known.items() if not permissions}
    assert free == ({"AssumeRole", "GetCallerIdentity", "GetSessionToken"} if folder == "sts" else set())


@pytest.mark.parametrize("folder", SERVICES)
def test_every_member_of_a_served_operation_is_used_or_refused(folder: str) -> None:
    """A member of an operation's input that no code of the service names could have no effect: it must be in REFUSED."""
    code = "\n".join(path.read_text() for path in (SOURCE / "services" / folder).rglob("*.py"))
    code += "\n".join(path.read_text() for path in (SOURCE / "model").glob("*.py"))
    named = set(re.findall(r"[\"']([A-Za-z]\w*)[\"']", code))
    without_effect = []
    for name in service(folder).operations:
        shape = model(service(folder).name).operation_model(name).input_shape
        refused = service(folder).refused.get(name, {})
        without_effect += [
            f"{name}.{member}" for member in (shape.members if shape else ()) if member not in named | set(refused)
        ]
    assert not set(without_effect) - set(NO_EFFECT_ON_AWS) - NOTHING_TO_CHOOSE_FROM


@pytest.mark.parametrize("folder", SERVICES)
def test_every_refused_member_is_one_of_the_model(folder: str) -> None:
    """REFUSED names members that exist, of operations that are served, with a reason."""
    for name, members in service(folder).refused.items():
        assert name in service(folder).operations
        shape = model(service(folder).name).operation_model(name).input_shape
        for path, reason in members.items():
            current = shape
            for part in path.split("."):
                current = current.member if current.type_name == "list" else current
                assert part in current.members, f"{name}: {path}"
                current = current.members[part]
            assert reason.strip()
