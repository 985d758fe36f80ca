"""Lifecycle policies: which images of a repository have had their time. Rules only; `lifecycle` carries them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from lambdad.model.star_pattern import fits

DAY_SECONDS = 86_400.0
_MOST_RULES = 50
_MOST_STARS = 4
_MOST_NUMBER = (1 << 31) - 1


class MalformedLifecycle(ValueError):
    """The text says what is wrong with it."""


class Selection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    tag_status: Literal["tagged", "untagged", "any"]
    count_type: Literal["imageCountMoreThan", "sinceImagePushed"]
    count_number: int
    count_unit: Literal["days"] | None = None
    tag_prefix_list: tuple[str, ...] = ()
    tag_pattern_list: tuple[str, ...] = ()

    def takes(self, tags: Sequence[str]) -> bool:
        """Whether it is about an image with these tags: one for each prefix or pattern."""
        if self.tag_status == "untagged":
            return not tags
        if self.tag_status == "any":
            return True
        if self.tag_prefix_list:
            return all(any(tag.startswith(prefix) for tag in tags) for prefix in self.tag_prefix_list)
        return all(any(fits(tag, pattern.split("*")) for tag in tags) for pattern in self.tag_pattern_list)


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["expire"]


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    rule_priority: int
    selection: Selection
    action: Action
    description: str = ""


class _Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


class AgedImage(NamedTuple):
    digest: str
    tags: Sequence[str]
    pushed_at: float


def read_lifecycle(text: str) -> tuple[Rule, ...]:
    """In the order of their priorities. MalformedLifecycle."""
    try:
        rules = msgspec.json.decode(text, type=_Policy).rules
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise MalformedLifecycle(str(error)) from error
    if not 1 <= len(rules) <= _MOST_RULES:
        raise MalformedLifecycle(f"it has {len(rules)} rules; 1 to {_MOST_RULES} are possible")
    ordered = sorted(rules, key=lambda rule: rule.rule_priority)
    if ordered[0].rule_priority < 1 or len({rule.rule_priority for rule in rules}) != len(rules):
        raise MalformedLifecycle("each rule has a priority of its own, from 1 on")
    if any(rule.selection.tag_status == "any" for rule in ordered[:-1]):
        raise MalformedLifecycle("a rule about any images has to be the last one")
    for rule in ordered:
        _check(rule.selection)
    return tuple(ordered)


def expired(rules: Sequence[Rule], images: Iterable[AgedImage], now: float) -> set[str]:
    """Digests. An image that one rule is about no later rule takes, though it counts for those."""
    images = list(images)
    gone: set[str] = set()
    settled: set[str] = set()
    for rule in rules:
        found = [image for image in images if rule.selection.takes(image.tags)]
        gone |= {image.digest for image in _beyond(rule.selection, found, now)} - settled
        settled |= {image.digest for image in found}
    return gone


def _beyond(selection: Selection, images: Sequence[AgedImage], now: float) -> list[AgedImage]:
    if selection.count_type == "imageCountMoreThan":
        return sorted(images, key=lambda image: -image.pushed_at)[selection.count_number :]
    return [image for image in images if now - image.pushed_at > selection.count_number * DAY_SECONDS]


def _check(selection: Selection) -> None:
    names = (*selection.tag_prefix_list, *selection.tag_pattern_list)
    if (selection.tag_status == "tagged") != bool(names):
        raise MalformedLifecycle("tagPrefixList or tagPatternList belongs to a rule about tagged images, and to no other")
    if selection.tag_prefix_list and selection.tag_pattern_list:
        raise MalformedLifecycle("a rule has a tagPrefixList or a tagPatternList, and not both")
    if any(pattern.count("*") > _MOST_STARS for pattern in selection.tag_pattern_list):
        raise MalformedLifecycle(f"a pattern has at most {_MOST_STARS} stars")
    if not 1 <= selection.count_number <= _MOST_NUMBER:
        raise MalformedLifecycle(f"countNumber is from 1 to {_MOST_NUMBER}")
    if (selection.count_type == "sinceImagePushed") != (selection.count_unit == "days"):
        raise MalformedLifecycle("countUnit is days with sinceImagePushed, and left out otherwise")
