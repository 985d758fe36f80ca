"""Which operation asks for which right."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.model.permission import FREE, Permission, permissions_for

#: AssumeRole is decided by the operation itself, for the role's trust policy has a say. AWS asks nothing for the others.
PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for("sts", ("GetAccessKeyInfo",)),
    "AssumeRole": FREE,
    "GetCallerIdentity": FREE,
    "GetSessionToken": FREE,
}
