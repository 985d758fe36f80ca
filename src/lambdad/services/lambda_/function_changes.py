"""What is written when a function changes: the difference between how it stood and how it is to stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter

import msgspec

from lambdad.services.lambda_.record_keys import (
    ALIASES,
    EVENT_CONFIGS,
    FUNCTIONS,
    LAST_USES,
    POLICIES,
    PROVIDER_USES,
    PROVISIONED,
    RESERVES,
    SCALING,
    SIGNING_USES,
    STACKS,
    UNSETTLED,
    URL_OWNERS,
    URLS,
    VERSIONS,
    encode,
    key_text,
    number_text,
    stack_key,
)
from lambdad.services.lambda_.stored_function import Stack, StoredFunction
from lambdad.store.base import Change, Delete, Put, refer, unrefer

Members = Mapping[str, object]

#: What has records of its own: collection, its members by name, and how a name stands in the key.
_MEMBERS: tuple[tuple[str, Callable[[StoredFunction], Members], Callable[[str], str]], ...] = (
    (VERSIONS, attrgetter("versions"), number_text),
    (ALIASES, attrgetter("aliases"), str),
    (POLICIES, attrgetter("policies"), str),
    (EVENT_CONFIGS, attrgetter("event_configs"), str),
    (URLS, attrgetter("urls"), str),
    (PROVISIONED, attrgetter("provisioned"), str),
    (SCALING, attrgetter("scaling"), str),
)


def function_changes(old: StoredFunction | None, new: StoredFunction | None) -> list[Change]:
    """`old` is None for a function that is made, `new` for one that goes. Conflict where it does not stand as `old`."""
    return [_guard(old, new), *_member_changes(old, new), *_mark_changes(old, new), *_reference_changes(old, new)]


def dropped_stacks(old: StoredFunction | None, new: StoredFunction | None) -> set[Stack]:
    """The archives that it no longer needs."""
    return {stack for stack, _ in _references(old) - _references(new)}


def _guard(old: StoredFunction | None, new: StoredFunction | None) -> Change:
    """The change of the function's own record, which every other is made together with."""
    if new is None:
        assert old is not None
        return Delete(FUNCTIONS, key_text(old.key), if_revision=old.revision)
    key, value = key_text(new.key), encode(new.function)
    return Put(FUNCTIONS, key, value, if_revision=old.revision) if old else Put(FUNCTIONS, key, value, if_absent=True)


def _member_changes(old: StoredFunction | None, new: StoredFunction | None) -> list[Change]:
    changes: list[Change] = []
    for collection, members_of, text_of in _MEMBERS:
        was: Members = {} if old is None else members_of(old)
        now: Members = {} if new is None else members_of(new)
        if new is not None:
            prefix = key_text(new.key)
            changed = [(name, value) for name, value in now.items() if was.get(name) is not value]
            changes += [Put(collection, f"{prefix}/{text_of(name)}", encode(value)) for name, value in changed]
        if old is not None:
            prefix = key_text(old.key)
            changes += [Delete(collection, f"{prefix}/{text_of(name)}") for name in was if name not in now]
    return changes


def _mark_changes(old: StoredFunction | None, new: StoredFunction | None) -> list[Change]:
    """A mark that stays is not written again: others may have written something into it."""
    was, now = _marks(old), _marks(new)
    puts = [Put(*place, value) for place, value in now.items() if was.get(place) != value]
    return [*puts, *(Delete(*place) for place in was if place not in now)]


def _marks(stored: StoredFunction | None) -> dict[tuple[str, str], bytes]:
    """By collection and key, what lets a function be found by something else than its name."""
    if stored is None:
        return {}
    account_id, region, name = stored.key
    own, function = key_text(stored.key), stored.function
    marks = {(URL_OWNERS, url.url_id): f"{own}/{qualifier}".encode() for qualifier, url in stored.urls.items()}
    for provider, version in sorted(stored.provider_uses()):
        marks[PROVIDER_USES, f"{key_text(provider)}/{name}/{number_text(version)}"] = b""
    for version in sorted(stored.reclaimable()):
        marks[LAST_USES, f"{own}/{number_text(version)}"] = b""
    if function.code_signing_config_arn is not None:
        config_id = function.code_signing_config_arn.rpartition(":")[2]
        marks[SIGNING_USES, f"{account_id}/{region}/{config_id}/{name}"] = b""
    if function.reserved_concurrency is not None:
        marks[RESERVES, own] = msgspec.json.encode(function.reserved_concurrency)
    if stored.is_unsettled:
        marks[UNSETTLED, own] = b""
    return marks


def _reference_changes(old: StoredFunction | None, new: StoredFunction | None) -> list[Change]:
    before, after = _references(old), _references(new)
    added, gone = sorted(after - before), sorted(before - after)
    return [*(_refer(*each) for each in added), *(_unrefer(*each) for each in gone)]


def _references(stored: StoredFunction | None) -> set[tuple[Stack, str]]:
    return set() if stored is None else stored.references()


def _refer(stack: Stack, owner: str) -> Put:
    return refer(stack[0], owner) if len(stack) == 1 else Put(STACKS, f"{stack_key(stack)}/{owner}", b"")


def _unrefer(stack: Stack, owner: str) -> Delete:
    return unrefer(stack[0], owner) if len(stack) == 1 else Delete(STACKS, f"{stack_key(stack)}/{owner}")
