"""A hundred callers at once who create, update, publish, alias, delete and invoke the same few functions."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from support.lambda_account import call, kept, wait_active
from support.serial_order import Observation, serial_order, where_it_breaks
from support.server import ROLE, RUNTIME, Server, wait_until, zipped
from support.wire_client import WireAnswer, WireClient

pytestmark = pytest.mark.root

ACCOUNT = "700200000001"
CALLERS, CALLS_EACH = 100, 8
ALIASES = ("live", "beta")
NAMES = [f"raced-{number}" for number in range(5)]
CODES = [base64.b64encode(zipped({"app.py": f"def handler(event, context):\n    return {n}\n"})).decode() for n in range(6)]
NO_TARGET = "neither such a function nor such an alias"  #: Invoke says the same for both
BUSY, ABSENT, STALE, EXISTS = "busy", "absent", "stale", "exists"


class Known(NamedTuple):
    """What a serial run knows of a function that exists."""

    last: int  #: highest number given to a version
    last_revision: str
    versions: frozenset[int]
    aliases: frozenset[tuple[str, str]]  #: with the version that each means

    def meaning(self, alias: str) -> str | None:
        return dict(self.aliases).get(alias)

    def with_alias(self, alias: str, version: str) -> Known:
        return self._replace(aliases=frozenset({**dict(self.aliases), alias: version}.items()))

    def has(self, version: str) -> bool:
        return version == "$LATEST" or int(version) in self.versions


NOTHING = "nothing"  #: the state in which there is no function
FRESH = Known(0, "", frozenset(), frozenset())


def step(state: Any, observation: Observation) -> Any:
    """What one call makes of one function, or None where it could not have been answered so."""
    what, *arguments = observation.action
    if state == NOTHING:
        if what == "create":
            return FRESH if observation.outcome == "made" else None
        return state if observation.outcome in (ABSENT, NO_TARGET) else None
    if observation.outcome == ABSENT:
        return None
    return STEPS[what](state, observation.outcome, *arguments)


def _created(state: Known, outcome: Any) -> Any:
    return state if outcome == EXISTS else None


def _deleted(state: Known, outcome: Any) -> Any:
    return NOTHING


def _updated(state: Known, outcome: Any) -> Any:
    return state  # whether it was busy or had another revision is up to a state that settles by itself


def _published(state: Known, outcome: Any) -> Any:
    if outcome == BUSY:
        return state
    number, revision = outcome
    if number == state.last:
        return state if revision == state.last_revision and number in state.versions else None
    if number != state.last + 1 or revision == state.last_revision:
        return None
    return state._replace(last=number, last_revision=revision, versions=state.versions | {number})


def _alias_created(state: Known, outcome: Any, alias: str, version: str) -> Any:
    if outcome == "no version":
        return None if state.has(version) else state
    if outcome == EXISTS:
        return state if state.meaning(alias) is not None and state.has(version) else None
    return state.with_alias(alias, version) if state.meaning(alias) is None and state.has(version) else None


def _alias_updated(state: Known, outcome: Any, alias: str, version: str) -> Any:
    if outcome == "no alias":
        return state if state.meaning(alias) is None else None
    if outcome == "no version":
        return None if state.has(version) else state
    return state.with_alias(alias, version) if state.meaning(alias) is not None and state.has(version) else None


def _alias_deleted(state: Known, outcome: Any, alias: str) -> Any:
    return state._replace(aliases=frozenset(pair for pair in state.aliases if pair[0] != alias))


def _alias_read(state: Known, outcome: Any, alias: str) -> Any:
    return state if outcome == state.meaning(alias) else None


def _version_deleted(state: Known, outcome: Any, number: int) -> Any:
    is_used = any(version == str(number) for _, version in state.aliases)
    if outcome == "used":
        return state if is_used else None
    return None if is_used else state._replace(versions=state.versions - {number})


def _versions_listed(state: Known, outcome: Any) -> Any:
    return state if outcome == tuple(sorted(state.versions)) else None


def _invoked(state: Known, outcome: Any, alias: str | None) -> Any:
    meant = "$LATEST" if alias is None else state.meaning(alias)
    if outcome == NO_TARGET:
        return state if meant is None else None
    return state if outcome in (BUSY, meant) else None


STEPS: dict[str, Callable[..., Any]] = {
    "create": _created,
    "delete": _deleted,
    "update": _updated,
    "publish": _published,
    "create alias": _alias_created,
    "update alias": _alias_updated,
    "delete alias": _alias_deleted,
    "get alias": _alias_read,
    "delete version": _version_deleted,
    "list versions": _versions_listed,
    "invoke": _invoked,
}


class Race:
    """What all the callers saw, and who got through with which revision."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.histories: dict[str, list[Observation]] = {name: [] for name in NAMES}
        self.revisions_used: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def run(self, seed: int) -> None:
        start = threading.Barrier(CALLERS)
        with ThreadPoolExecutor(CALLERS) as callers:
            done = [callers.submit(self._call_often, CALLERS * seed + number, start) for number in range(CALLERS)]
            for each in done:
                each.result()

    def _call_often(self, seed: int, start: threading.Barrier) -> None:
        draw = random.Random(seed)
        with WireClient(self._server, ACCOUNT) as client:
            start.wait()
            for _ in range(CALLS_EACH):
                what = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                self.one_call(client, draw, draw.choice(NAMES), what, *_arguments(draw, what))

    def one_call(self, client: WireClient, draw: random.Random, name: str, what: str, *arguments: Any) -> None:
        revision = None
        if what == "update" and draw.random() < 0.5:
            revision = call(client, "GetFunctionConfiguration", FunctionName=name).json().get("RevisionId")
        began = time.monotonic()
        answer = self._send(client, draw, name, what, arguments, revision)
        outcome = _outcome(what, answer, name)
        observation = Observation(began, time.monotonic(), (what, *arguments), outcome, _is_change(what, outcome))
        with self._lock:
            self.histories[name].append(observation)
            self.outcomes[what, outcome if isinstance(outcome, str) else "answered"] += 1
            if revision and outcome == "done":
                self.revisions_used[revision] += 1

    def _send(
        self, client: WireClient, draw: random.Random, name: str, what: str, arguments: tuple[Any, ...], revision: str | None
    ) -> WireAnswer:
        code = draw.choice(CODES)
        on: dict[str, Any] = {"FunctionName": name}
        if what == "create":
            settings = {"Runtime": RUNTIME, "Handler": "app.handler", "Role": ROLE, "Timeout": 60, "Code": {"ZipFile": code}}
            return call(client, "CreateFunction", **on, **settings)
        if what == "update":
            precondition = {"RevisionId": revision} if revision else {}
            if draw.random() < 0.5:
                return call(client, "UpdateFunctionCode", **on, ZipFile=code, **precondition)
            return call(client, "UpdateFunctionConfiguration", **on, Timeout=draw.randint(60, 69), **precondition)
        if what in ("create alias", "update alias"):
            operation = "CreateAlias" if what == "create alias" else "UpdateAlias"
            return call(client, operation, **on, Name=arguments[0], FunctionVersion=arguments[1])
        if what in ("delete alias", "get alias"):
            return call(client, "DeleteAlias" if what == "delete alias" else "GetAlias", **on, Name=arguments[0])
        if what == "delete version":
            return call(client, "DeleteFunction", **on, Qualifier=str(arguments[0]))
        if what == "invoke":
            qualifier = {"Qualifier": arguments[0]} if arguments[0] else {}
            return call(client, "Invoke", **on, Payload=b"{}", **qualifier)
        plain = {"delete": "DeleteFunction", "publish": "PublishVersion", "list versions": "ListVersionsByFunction"}
        return call(client, plain[what], **on)


WEIGHTS = {
    "create": 6, "delete": 2, "update": 5, "publish": 5, "create alias": 4, "update alias": 3, "delete alias": 2,
    "get alias": 3, "delete version": 2, "list versions": 3, "invoke": 5,
}  # fmt: skip


def _arguments(draw: random.Random, what: str) -> tuple[Any, ...]:
    alias, version = draw.choice(ALIASES), draw.choice(("1", "2", "3", "$LATEST"))
    drawn: dict[str, tuple[Any, ...]] = {
        "create alias": (alias, version),
        "update alias": (alias, version),
        "delete alias": (alias,),
        "get alias": (alias,),
        "delete version": (draw.randint(1, 3),),
        "invoke": (draw.choice((None, *ALIASES)),),
    }
    return drawn.get(what, ())


def _outcome(what: str, answer: WireAnswer, name: str) -> Any:
    """An answer in the words of `step`; whatever no rule of the API justifies is a failure here."""
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}"
    if answer.status in (200, 201, 204):
        assert "x-amz-function-error" not in answer.headers, answer
        return _success(what, answer)
    message = answer.message
    if answer.status == 404:
        if what == "get alias" and message.startswith("Cannot find alias"):
            return None
        if what == "update alias" and message.startswith("Alias not found"):
            return "no alias"
        if what in ("create alias", "update alias") and message.startswith(f"Function not found: {arn}:"):
            return "no version"
        if what == "invoke" and message.startswith("Function not found"):
            return ABSENT if message.endswith(":$LATEST") else NO_TARGET
        assert message == f"Function not found: {arn}" or (what == "delete version" and message.startswith("Function")), answer
        return ABSENT
    if answer.status == 409:
        if what in ("create", "create alias") and "already exist" in message:
            return EXISTS
        if what == "delete version" and "is referenced by the alias" in message:
            return "used"
        assert what in ("update", "publish", "invoke"), answer
        assert message.startswith("The operation cannot be performed at this time."), answer
        return BUSY
    assert what == "update", answer
    assert answer.status == 412, answer
    return STALE


def _is_change(what: str, outcome: Any) -> bool:
    return outcome == "made" or what == "publish" or (outcome == "done" and what != "update")


def _success(what: str, answer: WireAnswer) -> Any:
    if what == "create":
        return "made"
    if what == "publish":
        version = answer.json()
        return int(version["Version"]), version["RevisionId"]
    if what == "get alias":
        return answer.json()["FunctionVersion"]
    if what == "list versions":
        return tuple(sorted(int(each["Version"]) for each in answer.json()["Versions"] if each["Version"] != "$LATEST"))
    if what == "invoke":
        assert 0 <= answer.json() < len(CODES), answer
        return answer.headers["x-amz-executed-version"]
    return "done"


def race(server: Server, seed: int) -> None:
    environments, files = _environments(server), server.files()
    running = Race(server)
    with WireClient(server, ACCOUNT) as client:
        for name in NAMES:  # there at the beginning, so that there is much to be done with them
            running.one_call(client, random.Random(seed), name, "create")
            _wait_until_settled(client, name)
            for what, *arguments in (("publish",), ("create alias", "live", "1"), ("invoke", "live")):
                running.one_call(client, random.Random(seed), name, what, *arguments)
        running.run(seed)
        for name in NAMES:
            _wait_until_settled(client, name)
            for what, *arguments in (("list versions",), *(("get alias", alias) for alias in ALIASES)):
                running.one_call(client, random.Random(0), name, what, *arguments)
            history = running.histories[name]
            assert serial_order(history, step, NOTHING) is not None, where_it_breaks(history, step, NOTHING)
        assert max(running.revisions_used.values(), default=0) <= 1  # a revision is replaced by one caller only
        assert running.outcomes["create", "made"] >= len(NAMES)
        assert running.outcomes["invoke", "1"] >= len(NAMES)
        assert len(running.outcomes) >= 15  # kinds of answers: the callers did get into each other's way
        _compare_with_store(server, client)
        for name in NAMES:
            call(client, "DeleteFunction", FunctionName=name)
        left = {key for key in kept(server, ACCOUNT) if not key[0].startswith("log-")}  # logs outlive their functions
        assert left == set()
    wait_until(lambda: _environments(server) <= environments, 60, "the environments of deleted functions to end")
    wait_until(lambda: server.files() <= files, 60, "the code of deleted functions to go")


def _wait_until_settled(client: WireClient, name: str) -> None:
    def is_settled() -> bool:
        answer = call(client, "GetFunctionConfiguration", FunctionName=name)
        if answer.status == 404:
            return True
        configuration = answer.json()
        return configuration["State"] == "Active" and configuration["LastUpdateStatus"] == "Successful"

    wait_until(is_settled, 120, f"{name} to settle")


def _compare_with_store(server: Server, client: WireClient) -> None:
    """What the API lists is what the store has, no more and no less."""
    records = kept(server, ACCOUNT)
    kept_of: dict[str, set[str]] = defaultdict(set)
    for collection, key in records:
        kept_of[collection].add(key.removeprefix(f"{ACCOUNT}/us-east-1/"))
    listed = {each["FunctionName"] for each in call(client, "ListFunctions").json()["Functions"]}
    assert kept_of["lambda-function"] == listed
    versions, aliases = set(), set()
    for name in NAMES:
        assert (call(client, "GetFunction", FunctionName=name).status == 200) == (name in listed)
        if name in listed:
            found = call(client, "ListVersionsByFunction", FunctionName=name).json()["Versions"]
            versions |= {f"{name}/{int(each['Version']):010d}" for each in found if each["Version"] != "$LATEST"}
            aliases |= {f"{name}/{each['Name']}" for each in call(client, "ListAliases", FunctionName=name).json()["Aliases"]}
    assert kept_of["lambda-version"] == versions
    assert kept_of["lambda-alias"] == aliases
    assert kept_of["lambda-unsettled"] == set()


def _environments(server: Server) -> int:
    return sum(server.health()["environments"].values())


def test_a_hundred_callers_are_served_as_if_one_after_the_other(server: Server) -> None:
    """Every answer fits one serial order, revisions are replaced once, no number is given twice, and nothing is left over."""
    race(server, 0)


def test_no_callers_change_is_lost(server: Server) -> None:
    """What forty callers hang on one function at once is all there: aliases, permissions, tags, URLs, settings, layers."""
    account_id, callers = "700200001001", 40
    with WireClient(server, account_id) as client:
        arn = _make(client, "busy")

        def hang_on(number: int) -> None:
            with WireClient(server, account_id) as own:
                on, alias = {"FunctionName": "busy"}, f"alias-{number:02d}"
                at = {**on, "Qualifier": alias}
                done = [
                    call(own, "CreateAlias", **on, Name=alias, FunctionVersion="$LATEST"),
                    call(
                        own, "AddPermission", **on, StatementId=alias, Action="lambda:InvokeFunction", Principal="123456789012"
                    ),
                    call(own, "TagResource", Resource=arn, Tags={alias: "x"}),
                    call(own, "CreateFunctionUrlConfig", **at, AuthType="NONE"),
                    call(own, "PutFunctionEventInvokeConfig", **at, MaximumRetryAttempts=1),
                    call(own, "PublishLayerVersion", LayerName="busy", Content={"ZipFile": CODES[0]}),
                ]  # fmt: skip
                assert all(answer.status in (200, 201, 204) for answer in done), done

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(hang_on, range(callers)))
        wanted = {f"alias-{number:02d}" for number in range(callers)}
        assert {each["Name"] for each in call(client, "ListAliases", FunctionName="busy").json()["Aliases"]} == wanted
        policy = json.loads(call(client, "GetPolicy", FunctionName="busy").json()["Policy"])
        assert {each["Sid"] for each in policy["Statement"]} == wanted
        assert call(client, "ListTags", Resource=arn).json()["Tags"].keys() == wanted
        urls = call(client, "ListFunctionUrlConfigs", FunctionName="busy").json()["FunctionUrlConfigs"]
        assert len({each["FunctionUrl"] for each in urls}) == callers
        settings = call(client, "ListFunctionEventInvokeConfigs", FunctionName="busy").json()["FunctionEventInvokeConfigs"]
        assert len(settings) == callers
        layers = call(client, "ListLayerVersions", LayerName="busy").json()["LayerVersions"]
        assert {each["Version"] for each in layers} == set(range(1, callers + 1))
        assert call(client, "DeleteFunction", FunctionName="busy").status == 204


def test_what_callers_reserve_at_once_stays_within_the_account(server: Server) -> None:
    """Ten functions that want 200 each at the same time: four get it, and the account keeps what nobody may reserve."""
    account_id, names = "700200001002", [f"greedy-{number}" for number in range(10)]
    with WireClient(server, account_id) as client:
        for name in names:
            _make(client, name)

        def reserve(name: str) -> int:
            with WireClient(server, account_id) as own:
                return call(own, "PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=200).status

        with ThreadPoolExecutor(len(names)) as pool:
            assert Counter(pool.map(reserve, names)) == {200: 4, 400: 6}
        assert call(client, "GetAccountSettings").json()["AccountLimit"]["UnreservedConcurrentExecutions"] == 200
        for name in names:
            assert call(client, "DeleteFunction", FunctionName=name).status == 204
        assert call(client, "GetAccountSettings").json()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


def _make(client: WireClient, name: str) -> str:
    settings = {"Runtime": RUNTIME, "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": CODES[0]}}
    made = call(client, "CreateFunction", FunctionName=name, **settings)
    assert made.status == 201, made
    wait_active(client, name)
    return str(made.json()["FunctionArn"])


@pytest.mark.long
def test_a_hundred_callers_again_and_again(server: Server) -> None:
    """The same with other calls each time."""
    for number in range(1, 41):
        race(server, number)


def _seen(began: float, ended: float, *action: Any, outcome: Any) -> Observation:
    return Observation(began, ended, action, outcome, _is_change(action[0], outcome))


def test_what_no_serial_order_explains_is_found() -> None:
    """The check itself: each of these was seen by nobody who was served one after the other."""
    made = _seen(0, 1, "create", outcome="made")
    assert serial_order([made, _seen(2, 3, "create", outcome=EXISTS)], step, NOTHING) is not None
    assert serial_order([made, _seen(2, 3, "create", outcome="made")], step, NOTHING) is None
    assert serial_order([made, _seen(0.5, 3, "delete", outcome=ABSENT)], step, NOTHING) is not None
    assert serial_order([made, _seen(1.5, 3, "delete", outcome=ABSENT)], step, NOTHING) is None
    first, second = _seen(2, 3, "publish", outcome=(1, "a")), _seen(2, 4, "publish", outcome=(2, "b"))
    assert serial_order([made, second, first], step, NOTHING) is not None
    assert serial_order([made, first, _seen(2, 4, "publish", outcome=(1, "b"))], step, NOTHING) is None
    assert serial_order([made, first, _seen(5, 6, "list versions", outcome=())], step, NOTHING) is None
    alias = _seen(4, 5, "create alias", "live", "1", outcome="done")
    assert serial_order([made, first, alias, _seen(6, 7, "invoke", "live", outcome="1")], step, NOTHING) is not None
    assert serial_order([made, first, alias, _seen(6, 7, "invoke", "live", outcome="2")], step, NOTHING) is None
    assert serial_order([made, first, alias, _seen(6, 7, "delete version", 1, outcome="done")], step, NOTHING) is None
