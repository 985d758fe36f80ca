"""How many shells a nursery asks for."""

from __future__ import annotations

import pytest

from lambdad.sandbox.nursery import MOST_IMAGES, Nursery, one_too_many
from lambdad.sandbox.records import Channel, Program, Start


class NoChannel(Channel):
    def __init__(self) -> None:
        """Nothing is sent in these tests."""


def nursery(failures: int) -> Nursery:
    made = Nursery(Program("python3.11", "/i", "/l", "/r"), NoChannel(), pid=0, handle=0, last_used=100.0)
    made.failures = failures
    return made


@pytest.mark.parametrize(("failures", "wanted"), [(0, 2), (1, 2), (2, 2), (3, 0), (9, 0)])
def test_spares_after_failures(failures: int, wanted: int) -> None:
    """One that was killed in the making is made again though nobody waits; what fails again and again is left alone."""
    assert nursery(failures).wanted(spares=2, now=101.0, idle_seconds=600) == wanted


def test_no_spares_of_a_language_long_unused() -> None:
    assert nursery(0).wanted(spares=2, now=701.0, idle_seconds=600) == 0


def test_zygotes_of_images_make_room_for_others() -> None:
    """The one that was left alone longest goes, when there are many: not one in use, and none of a language."""

    def of_image(number: int) -> Nursery:
        program = Program(f"image-{number}", "/i", "/l", "/r", image_root=f"/{number}")
        return Nursery(program, NoChannel(), pid=0, handle=0, last_used=200.0 + number)

    images = [of_image(number) for number in range(MOST_IMAGES)]
    assert one_too_many([nursery(0), *images[1:]], []) is None
    assert one_too_many([nursery(0), *images], []) is images[0]
    images[1].waiting.append(Start("s", images[1].program, None, None, 128, 512))
    assert one_too_many([nursery(0), *images], [images[0]]) is images[2]
    assert one_too_many(images, images) is None
