"""Whom the keep-alive policy gives up first."""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.invocation.keep_alive import KeepAlive


@dataclass
class Idle:
    name: str
    uses: int = 1
    init_seconds: float = 1.0
    memory_mb: int = 128
    kept_from: float = 0.0


def names(chosen: list[Idle] | None) -> list[str] | None:
    return None if chosen is None else [environment.name for environment in chosen]


def test_what_is_cheap_rare_and_large_goes_first() -> None:
    """Each of the three alone decides between environments that are otherwise equal."""
    policy = KeepAlive()
    for cheap, dear in (
        (Idle("a", init_seconds=0.1), Idle("b", init_seconds=5.0)),
        (Idle("a", uses=1), Idle("b", uses=50)),
        (Idle("a", memory_mb=1024), Idle("b", memory_mb=128)),
    ):
        assert names(KeepAlive().victims([dear, cheap], 1)) == ["a"]
        assert policy.worth(cheap) < policy.worth(dear)


def test_of_equals_the_first_goes() -> None:
    """The caller's order, least recently used first, decides."""
    assert names(KeepAlive().victims([Idle("old"), Idle("new")], 128)) == ["old"]


def test_as_many_as_needed_and_no_more() -> None:
    """Victims are chosen until their memory is enough; nobody is given up when all together are too few, or none is needed."""
    idle = [Idle("a"), Idle("b"), Idle("c")]
    assert names(KeepAlive().victims(idle, 129)) == ["a", "b"]
    assert names(KeepAlive().victims(idle, 384)) == ["a", "b", "c"]
    assert KeepAlive().victims(idle, 385) is None
    assert KeepAlive().victims(idle, 0) == []
    assert KeepAlive().victims([], 1) is None


def test_what_was_precious_grows_old() -> None:
    """An environment that was used often long ago goes before one used just now, once enough others have gone meanwhile."""
    policy = KeepAlive()
    precious = Idle("precious", uses=20)
    policy.note_use(precious)
    rounds = 0
    while True:
        fresh = Idle("fresh")
        policy.note_use(fresh)
        chosen = policy.victims([precious, fresh], 1)
        rounds += 1
        assert rounds < 100, "it never grew old"
        if names(chosen) == ["precious"]:
            break
    assert rounds > 5, "it was worth more than a few others"
