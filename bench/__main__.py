"""`python -m bench [ROW ...]`: prints each figure beside what is asked of it. Exit code 1 when one misses its must."""

from __future__ import annotations

import sys

from bench import dotnet_rows, event_rows, rows
from bench.server import Server

ON_ONE_SERVER = (
    rows.idle_server_memory,
    rows.warm_invoke,
    rows.streamed_first_byte,
    rows.thaw,
    rows.cold_start,
    rows.cold_start_shell,
    rows.cold_start_node,
    rows.node,
    rows.java,
    dotnet_rows.dotnet,
    rows.ruby,
    rows.go,
    rows.cold_start_snap_start,
    rows.burst,
    rows.events,
    rows.timeout,
    rows.log_flood,
    rows.idle_environments,
)


def main(names: list[str]) -> int:
    print(f"{'what':64} {'measured':>12} {'must':>10} {'aim':>10}")
    figures: list[rows.Figure] = []
    for row in ON_ONE_SERVER:
        if not names or row.__name__ in names:
            with Server() as server:
                figures += show(row(server))
    if not names or "start_with_functions" in names:
        figures += show(rows.start_with_functions())
    if not names or "events_waiting" in names:
        figures += show(event_rows.events_waiting())
    return 0 if all(figure.is_met for figure in figures) else 1


def show(figures: list[rows.Figure]) -> list[rows.Figure]:
    for figure in figures:
        verdict = "" if figure.is_met else "  MISSED"
        must, aim, measured = (f"{value:,.2f} {figure.unit}" for value in (figure.must, figure.aim, figure.measured))
        print(f"{figure.what:64} {measured:>12} {must:>10} {aim:>10}{verdict}", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
