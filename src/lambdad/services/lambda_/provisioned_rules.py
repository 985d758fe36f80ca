"""Who may have provisioned concurrency, and how much of it."""

from __future__ import annotations

from lambdad.model.alias import Alias
from lambdad.model.arn import FunctionName
from lambdad.model.concurrency import MIN_UNRESERVED
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import not_now
from lambdad.services.lambda_.managed_rules import not_with_instances
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter, not_found
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction
from lambdad.services.lambda_.tenancy import check_without_tenants

UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
NOT_WITH_SNAPSHOTS = "Provisioned Concurrency is not supported for SnapStart enabled functions."
NOT_WITH_WEIGHTS = "Alias with weights can not be used with Provisioned Concurrency"
VERSION_HAS_IT = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
ALIAS_HAS_IT = "Version is pointed by a Provisioned Concurrency alias"
MORE_THAN_RESERVED = "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"


def check_exists(stored: StoredFunction | None, name: FunctionName) -> StoredFunction:
    """The qualifier is that of a published version or an alias."""
    qualifier = name.qualifier or LATEST
    if qualifier.isdecimal():
        if stored is None or qualifier not in stored.versions:
            raise function_not_found(name)
    elif stored is None or qualifier not in stored.aliases:
        raise not_found(f"Cannot find alias arn: {name.qualified_arn}")
    return stored


def check_put(state: LambdaState, stored: StoredFunction, name: FunctionName, requested: int) -> None:
    """To be called while nobody else in the account and region changes what is claimed."""
    qualifier = name.qualifier
    assert qualifier is not None
    alias = stored.aliases.get(qualifier)
    if alias is None:
        _check_version(stored, qualifier)
        for pointing in stored.aliases.values():
            if pointing.name in stored.provisioned and qualifier in pointing.versions():
                raise conflict(ALIAS_HAS_IT)
    else:
        if alias.weights:
            raise invalid_parameter(NOT_WITH_WEIGHTS)
        _check_alias(stored, alias)
    number = qualifier if alias is None else alias.function_version
    reading = stored.versions[number]
    if reading.state != "Active":
        raise not_now(reading.state)
    _check_amount(state, stored, name, requested)


def check_provisioned_alias(stored: StoredFunction, alias: Alias) -> None:
    """Whether an alias, if it has provisioned concurrency, may take it to the versions that it is to point to."""
    if alias.name in stored.provisioned:
        _check_alias(stored, alias)


def _check_alias(stored: StoredFunction, alias: Alias) -> None:
    for number in sorted(alias.versions()):
        if number == LATEST:
            raise invalid_parameter(UNPUBLISHED)
        _check_version(stored, number)
        others = [other for other in stored.aliases.values() if other.name != alias.name and other.name in stored.provisioned]
        if number in stored.provisioned or any(number in other.versions() for other in others):
            raise conflict(VERSION_HAS_IT)


def _check_version(stored: StoredFunction, number: str) -> None:
    version = stored.versions[number]
    if version.has_snapshot:
        raise invalid_parameter(NOT_WITH_SNAPSHOTS)
    check_without_tenants(version.configuration, "Provisioned Concurrency")
    if version.is_managed:
        raise not_with_instances("Provisioned Concurrency")


def _check_amount(state: LambdaState, stored: StoredFunction, name: FunctionName, requested: int) -> None:
    assert name.qualifier is not None
    before = stored.provisioned.get(name.qualifier)
    total = stored.provisioned_concurrency - (before.requested if before else 0) + requested
    reserve, limit = stored.function.reserved_concurrency, state.quotas.concurrent_executions
    if reserve is not None and total > reserve:
        raise invalid_parameter(MORE_THAN_RESERVED)
    if requested > limit:
        raise invalid_parameter(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{limit}]."
        )
    others = state.records.claimed_concurrency(name.account_id, name.region) - stored.claimed_concurrency
    if reserve is None and limit - others - total < MIN_UNRESERVED:
        raise invalid_parameter(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{MIN_UNRESERVED}]."
        )
