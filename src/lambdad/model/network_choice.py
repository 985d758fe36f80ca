"""Whether a function has a network besides its Runtime API and the AWS endpoint: a tag, since AWS has no setting for it."""

from __future__ import annotations

from collections.abc import Mapping

NETWORK_TAG = "lambdad:network"
WITHOUT_NETWORK = "none"


def has_network(tags: Mapping[str, str]) -> bool:
    return tags.get(NETWORK_TAG) != WITHOUT_NETWORK


def refusal(tags: Mapping[str, str], *, can_be_withheld: bool) -> str | None:
    """Why these tags cannot be accepted; None if they can. `can_be_withheld` says whether the isolation in force can do it."""
    value = tags.get(NETWORK_TAG)
    if value is None:
        return None
    if value != WITHOUT_NETWORK:
        return f"Tag {NETWORK_TAG} must be '{WITHOUT_NETWORK}', or be left out for the network of all functions: {value}"
    if not can_be_withheld:
        return f"Tag {NETWORK_TAG} has no effect with the isolation in force, which keeps no function from the network."
    return None
