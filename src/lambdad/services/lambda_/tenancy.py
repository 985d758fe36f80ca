"""Tenant isolation: what it cannot be combined with, and who has to name a tenant."""

from __future__ import annotations

from dataclasses import replace

from lambdad.model.function import Configuration, FunctionVersion
from lambdad.model.version import Version
from lambdad.services.lambda_.refusal import invalid_parameter

_NEEDS_TENANT = (
    "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."
)
_HAS_NO_TENANTS = (
    "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again."
)


def check_without_tenants(configuration: Configuration, feature: str) -> None:
    """For what a function with tenants cannot have: its environments are made for somebody who is not known ahead."""
    if configuration.is_per_tenant:
        raise invalid_parameter(f"{feature} is not supported for functions enabled with tenancy configuration")


def check_tenant(reading: FunctionVersion, tenant_id: str | None) -> None:
    """A function with tenants is invoked for one of them, and any other for none."""
    if reading.configuration.is_per_tenant != bool(tenant_id):
        raise invalid_parameter(_HAS_NO_TENANTS if tenant_id else _NEEDS_TENANT)


def for_tenant(version: Version, tenant_id: str | None) -> Version:
    """The version as one tenant's environments have it, which are no other's."""
    return replace(version, tenant_id=tenant_id) if tenant_id else version
