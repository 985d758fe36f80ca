"""How many processors come with a memory size, on AWS."""

from __future__ import annotations

MEMORY_MB_PER_PROCESSOR = 1769
MOST_PROCESSORS = 6


def processors(memory_mb: int) -> float:
    return min(memory_mb / MEMORY_MB_PER_PROCESSOR, float(MOST_PROCESSORS))
