"""Every runtime identifier that AWS ever accepted: its system, the dates of its end, and whether it may be used here."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from lambdad.runtimes.custom import family as custom
from lambdad.runtimes.families import FAMILY_OF
from lambdad.runtimes.languages import advice

#: Functions that bring their runtime along, as an executable file `bootstrap`.
CUSTOM_RUNTIMES = frozenset(custom.FAMILY.runtimes)
CUSTOM = "provided"  #: the name under which they are one to a sandbox
#: The runtimes that this lambdad can start; most of them need an interpreter on the machine besides.
RUNNABLE = frozenset(FAMILY_OF)


class Policy(StrEnum):
    """Which ends of life count."""

    SEED = "seed"  #: those before February 2021
    TODAY = "today"  #: those before the present day
    OFF = "off"  #: none


class Change(StrEnum):
    """What is about to be done with a function's runtime."""

    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Runtime:
    identifier: str
    system: str  #: "AL", "AL2", "AL2023"
    deprecated: date | None = None
    block_create: date | None = None
    block_update: date | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a function may not have a runtime, as the InvalidParameterValueException that AWS or lambdad answers."""

    code: str
    message: str


def refusal(identifier: str, change: Change, policy: Policy, today: date, available: Collection[str]) -> Refusal | None:
    """None when a function may have the runtime; `available` are those with an interpreter on this machine."""
    runtime = CATALOG.get(identifier)
    if runtime is None:
        return _refused(
            f"Value {identifier} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set:"
            f" [{', '.join(CATALOG)}] or be a valid ARN"
        )
    if is_blocked(runtime, change, policy, today):
        return _refused(
            f"The runtime parameter of {identifier} is no longer supported for creating or updating AWS Lambda functions."
            " We recommend you use a supported runtime while creating or updating functions."
        )
    if identifier not in RUNNABLE:
        return _refused(
            f"The runtime {identifier} cannot be run by this lambdad yet; it runs {', '.join(sorted_names(RUNNABLE))}."
        )
    if identifier not in available:
        found = ", ".join(sorted_names(available)) or "none"
        return _refused(
            f"The runtime {identifier} needs {_language(identifier)} on this machine, and no usable one was found."
            f" {sentence(advice(identifier))}"
            f" Runtimes with an interpreter here: {found}."
        )
    return None


def is_blocked(runtime: Runtime, change: Change, policy: Policy, today: date) -> bool:
    if policy is Policy.OFF:
        return False
    day = _SEED_DAY if policy is Policy.SEED else today
    end = runtime.block_create if change is Change.CREATE else runtime.block_update
    return end is not None and day >= end


def sorted_names(identifiers: Collection[str]) -> list[str]:
    """ "python3.9" before "python3.10"."""
    return sorted(identifiers, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def _refused(message: str) -> Refusal:
    return Refusal("InvalidParameterValueException", message)


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _language(identifier: str) -> str:
    version = re.search(r"\d+(\.\d+)?", identifier)
    return " ".join([FAMILY_OF[identifier].language, *([version[0]] if version else [])])


_SEED_DAY = date(2021, 2, 24)

#: identifier, system, deprecated, creation blocked, update blocked. Runtimes whose dates AWS no longer lists have the
#: day of their deprecation in all three.
_TABLE = """
nodejs            AL      2016-10-31 2016-10-31 2016-10-31
nodejs4.3         AL      2020-03-05 2020-03-05 2020-03-05
nodejs4.3-edge    AL      2020-03-05 2020-03-05 2020-03-05
nodejs6.10        AL      2019-08-12 2019-08-12 2019-08-12
nodejs8.10        AL      2020-03-06 2020-03-06 2020-03-06
nodejs10.x        AL2     2021-07-30 2021-07-30 2022-02-14
nodejs12.x        AL2     2023-03-31 2023-03-31 2023-04-30
nodejs14.x        AL2     2023-12-04 2024-01-09 2026-09-30
nodejs16.x        AL2     2024-06-12 2026-08-31 2026-09-30
nodejs18.x        AL2     2025-09-01 2026-08-31 2026-09-30
nodejs20.x        AL2023  2026-04-30 2026-08-31 2026-09-30
nodejs22.x        AL2023  2027-04-30 2027-06-01 2027-07-01
nodejs24.x        AL2023  2028-04-30 2028-06-01 2028-07-01
nodejs26.x        AL2023  -          -          -
java8             AL      2024-01-08 2024-02-08 2026-09-30
java8.al2         AL2     2027-06-30 -          -
java8.al2023      AL2023  -          -          -
java11            AL2     2027-06-30 -          -
java11.al2023     AL2023  -          -          -
java17            AL2     2027-06-30 -          -
java17.al2023     AL2023  -          -          -
java21            AL2023  2029-06-30 -          -
java25            AL2023  2029-06-30 -          -
python2.7         AL      2021-07-15 2021-07-15 2022-05-30
python3.6         AL      2022-07-18 2022-07-18 2022-08-29
python3.7         AL      2023-12-04 2024-01-09 2026-09-30
python3.8         AL2     2024-10-14 2026-08-31 2026-09-30
python3.9         AL2     2025-12-15 2026-08-31 2026-09-30
python3.10        AL2     2026-10-31 2026-11-30 2027-01-15
python3.11        AL2     2027-06-30 2027-07-31 2027-08-31
python3.12        AL2023  2028-10-31 2028-11-30 2029-01-10
python3.13        AL2023  2029-06-30 2029-07-31 2029-08-31
python3.14        AL2023  2029-06-30 2029-07-31 2029-08-31
python3.15        AL2023  -          -          -
dotnetcore1.0     AL      2019-06-27 2019-06-27 2019-07-30
dotnetcore2.0     AL      2019-05-30 2019-05-30 2019-05-30
dotnetcore2.1     AL      2022-01-05 2022-01-05 2022-04-13
dotnetcore3.1     AL2     2023-04-03 2023-04-03 2023-05-03
dotnet6           AL2     2024-12-20 2026-08-31 2026-09-30
dotnet8           AL2023  2026-11-10 2026-12-10 2027-01-11
dotnet10          AL2023  2028-11-14 -          -
go1.x             AL      2024-01-08 2024-02-08 2026-09-30
ruby2.5           AL      2021-07-30 2021-07-30 2022-03-31
ruby2.7           AL2     2023-12-07 2024-01-09 2026-09-30
ruby3.2           AL2     2026-03-31 2026-08-31 2026-09-30
ruby3.3           AL2023  2027-03-31 -          -
ruby3.4           AL2023  2028-03-31 -          -
ruby4.0           AL2023  -          -          -
provided          AL      2024-01-08 2024-02-08 2026-09-30
provided.al2      AL2     2026-07-31 2026-08-31 2026-09-30
provided.al2023   AL2023  2029-06-30 -          -
custom            AL2023  -          -          -
"""


def _parse(line: str) -> Runtime:
    identifier, system, *days = line.split()
    deprecated, block_create, block_update = (None if day == "-" else date.fromisoformat(day) for day in days)
    return Runtime(identifier, system, deprecated, block_create, block_update)


CATALOG = {runtime.identifier: runtime for runtime in map(_parse, _TABLE.strip().splitlines())}
