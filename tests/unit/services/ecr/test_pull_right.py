"""Who may make functions of the images in a repository, and who may set its policy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from lambdad.model.policy_document import Kind, read_policy
from lambdad.model.policy_evaluation import Subject
from lambdad.model.policy_principal import Names
from lambdad.services.ecr.model import Repository, RepositoryName
from lambdad.services.ecr.policy import set_repository_policy
from lambdad.services.ecr.pull_right import PullRight
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.right import resource_tags
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore
from support.lambda_service import ACCOUNT, REGION, context, refused

NAME = RepositoryName(ACCOUNT, REGION, "images")
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:made"
PULLING = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
#: Each of a request as `context` makes it, to a repository with the tag Team=red.
CONDITIONS = [
    ("IpAddress", "aws:SourceIp", "127.0.0.0/8"),
    ("StringEquals", "aws:RequestedRegion", REGION),
    ("Bool", "aws:SecureTransport", "false"),
    ("StringEquals", "aws:ResourceAccount", ACCOUNT),
    ("StringEquals", "aws:ResourceTag/Team", "red"),
    ("StringEquals", "ecr:ResourceTag/Team", "red"),
]


def allow(action: Any, **elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, **elements}


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def let_ann(state: EcrState, *statements: Mapping[str, Any]) -> None:
    """Whoever asks is Ann, with these statements."""
    documents = [read_policy(policy({"Resource": "*", **each}), Kind.IDENTITY) for each in statements]
    subject = Subject(ANN, ACCOUNT, Names(ACCOUNT, exact=(ANN,)), identity=tuple(documents))
    state.subject_of = lambda principal: subject


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[EcrState]:
    """With one repository. Whoever asks is Ann, who may do everything with it."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    made = EcrState(EcrRecords(store, blobs), blobs, Tokens(b"x"), ACCOUNT, REGION, 4566)
    await made.records.save_repository(Repository(*NAME, created_at=0.0, tags={"Team": "red"}))
    let_ann(made, allow("ecr:*"))
    yield made
    await blobs.close()


async def text_of(state: EcrState) -> str:
    found = await state.records.repository(NAME)
    assert found is not None
    return found.policy


async def put(state: EcrState, *statements: Mapping[str, Any]) -> str:
    """As the repository's policy."""
    text = policy(*statements)
    request = {"repositoryName": "images", "policyText": text, "force": True}
    await set_repository_policy(state, context("SetRepositoryPolicy"), request)
    return text


@pytest.mark.parametrize(("operator", "key", "value"), CONDITIONS)
async def test_whoever_may_change_the_policy_by_a_condition_makes_functions(
    state: EcrState, operator: str, key: str, value: str
) -> None:  # fmt: skip
    """And whoever is kept from it by one does not."""
    condition = {operator: {key: value}}
    let_ann(state, allow("ecr:*"), {**allow("ecr:*", Condition=condition), "Effect": "Deny"})
    error = await refused(PullRight(state).check(context("CreateFunction"), NAME, FUNCTION))
    assert (error.code, await text_of(state)) == ("AccessDeniedException", "")
    let_ann(state, allow("ecr:*", Condition=condition))
    await PullRight(state).check(context("CreateFunction"), NAME, FUNCTION)
    assert "lambda.amazonaws.com" in await text_of(state)


@pytest.mark.parametrize(("operator", "key", "value"), CONDITIONS)
async def test_a_policy_with_a_way_back_by_a_condition_needs_no_force(
    state: EcrState, operator: str, key: str, value: str
) -> None:  # fmt: skip
    """One that keeps its setter out does."""
    let_ann(state)
    setter = allow("ecr:SetRepositoryPolicy", Principal={"AWS": ANN}, Condition={operator: {key: value}})
    request = {"repositoryName": "images", "policyText": policy(setter)}
    answer = await set_repository_policy(state, context("SetRepositoryPolicy"), request)
    assert answer["policyText"] == await text_of(state) == request["policyText"]
    request["policyText"] = policy(setter, {**setter, "Effect": "Deny"})
    error = await refused(set_repository_policy(state, context("SetRepositoryPolicy"), request))
    assert (error.code, "force" in error.message) == ("InvalidParameterException", True)


async def test_policies_may_ask_for_the_tags_of_a_repository(state: EcrState) -> None:
    """One that is not there has none."""
    assert await resource_tags(state, NAME.arn) == {"Team": "red"}
    assert await resource_tags(state, NAME.arn + "s") == await resource_tags(state, "*") == {}


class Waited(asyncio.Lock):
    """Tells that somebody wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_wanted = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        self.is_wanted.set()
        return await super().acquire()


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_what_is_changed_while_lambda_is_let_in_counts(
    state: EcrState, is_deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that goes is missed later, when its image is; a denial that comes is kept, and obeyed."""
    held = Waited()
    monkeypatch.setattr(state.records, "changing", lambda name: held)
    await held.acquire()
    held.is_wanted.clear()
    checking = asyncio.create_task(PullRight(state).check(context("CreateFunction"), NAME, FUNCTION))
    await held.is_wanted.wait()
    found = await state.records.repository(NAME)
    assert found is not None
    denial = policy(allow(PULLING, Principal={"Service": "lambda.amazonaws.com"}) | {"Effect": "Deny"})
    if is_deleted:
        await state.records.delete_repository(NAME)
    else:
        await state.records.save_repository(msgspec.structs.replace(found, policy=denial))
    held.release()
    if is_deleted:
        await checking
        assert await state.records.repository(NAME) is None
    else:
        assert (await refused(checking)).code == "AccessDeniedException"
        assert await text_of(state) == denial


def of_lambda(sid: str, functions: Any) -> dict[str, Any]:
    """As Lambda adds it."""
    condition = {"StringLike": {"aws:sourceArn": functions}}
    return {"Sid": sid, **allow(PULLING, Principal={"Service": "lambda.amazonaws.com"}, Condition=condition)}


SID, ALL = "LambdaECRImageRetrievalPolicy", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"
ELSEWHERE = "arn:aws:lambda:eu-west-1:210987654321:function:*"


@pytest.mark.parametrize(
    "narrower",
    [
        of_lambda(SID, f"{ALL[:-1]}another"),
        of_lambda(SID, ["arn:aws:lambda:*:*:function:a", ELSEWHERE]),
        {**of_lambda(SID, ELSEWHERE), "Action": PULLING[:1]},
        {**of_lambda(SID, ELSEWHERE), "Effect": "Deny"},
        {**of_lambda(SID, ELSEWHERE), "Condition": {"StringEquals": {"aws:SourceAccount": "210987654321"}}},
        {**of_lambda(SID, ELSEWHERE), "Condition": {"Bool": {"aws:SecureTransport": "true"}}, "Principal": "*"},
    ],
)
async def test_what_the_owner_has_stated_stays(state: EcrState, narrower: dict[str, Any]) -> None:
    """Under the name of Lambda's own statement too, which then has another. It is added once."""
    await put(state, narrower)
    for _ in range(2):
        await PullRight(state).check(context("CreateFunction"), NAME, FUNCTION)
        assert json.loads(await text_of(state))["Statement"] == [narrower, of_lambda(f"{SID}2", ALL)]


async def test_lambdas_own_statement_lets_in_more(state: EcrState) -> None:
    """Where the one that it added once lets in other functions only."""
    theirs = {**allow("ecr:*", Principal={"AWS": ANN}), "Sid": f"{SID}2"}
    await put(state, theirs, of_lambda(SID, ELSEWHERE))
    await PullRight(state).check(context("CreateFunction"), NAME, FUNCTION)
    assert json.loads(await text_of(state))["Statement"] == [theirs, of_lambda(SID, [ELSEWHERE, ALL])]


async def test_a_policy_without_room_for_lambda_is_left_as_it_is(state: EcrState) -> None:
    """Who makes the function hears why; with just so much room Lambda is let in."""
    most = 10240

    async def fill(length: int) -> str:
        statement = allow("ecr:ListImages", Principal={"AWS": ANN})
        padding = length - len(json.dumps({"Statement": [{**statement, "Sid": ""}]}, separators=(",", ":")))
        text = json.dumps({"Statement": [{**statement, "Sid": "a" * padding}]}, separators=(",", ":"))
        request = {"repositoryName": "images", "policyText": text, "force": True}
        await set_repository_policy(state, context("SetRepositoryPolicy"), request)
        return text

    room = most - len(json.dumps(of_lambda(SID, ALL), separators=(",", ":"))) - 1
    text = await fill(room + 1)
    error = await refused(PullRight(state).check(context("CreateFunction"), NAME, FUNCTION))
    assert (error.code, "10241 characters" in error.message) == ("InvalidParameterValueException", True)
    assert await text_of(state) == text
    await fill(room)
    await PullRight(state).check(context("CreateFunction"), NAME, FUNCTION)
    assert len(await text_of(state)) == most
