"""What holds sandboxes to their sizes: the seam between the launcher and `cgroup` or, where there is none, `memory_watch`."""

from __future__ import annotations

from typing import Protocol


class LimitedGroup(Protocol):
    """All processes of one sandbox. Made anew from its name wherever it is needed: `create` and `remove` are for everybody."""

    def create(self) -> None: ...

    def open_procs(self) -> list[int]:
        """Descriptors of files through which a process joins, by writing 0 to each."""
        ...

    def limit(self, memory_mb: int, init: int) -> None:
        """Before any code of a function runs. `init` is the pidfd of the sandbox's process 1."""
        ...

    def weigh(self, share: float) -> None:
        """The share of busy processors, in proportion to others' numbers; idle ones are anybody's."""
        ...

    def open_files(self) -> dict[str, int]:
        """Once, after `limit`: descriptors of what a server without privileges may read again and again, by name, as
        `cgroup.GroupFiles` takes them. They are the caller's."""
        ...

    def thaw(self) -> None: ...

    def remove(self) -> bool:
        """False while something in it has not quite ended."""
        ...


class Limits(Protocol):
    @property
    def weaknesses(self) -> list[str]: ...

    @property
    def shares_processors(self) -> bool:
        """Whether `LimitedGroup.weigh` has an effect here."""
        ...

    def group(self, name: str) -> LimitedGroup: ...

    def thaw(self) -> None:
        """Every sandbox, so that those which are to die do."""
        ...

    def close(self) -> None: ...
