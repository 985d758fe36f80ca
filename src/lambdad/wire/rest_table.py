"""Which operation of a REST service a method, path and query name. Paths are matched undecoded, segment by segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from lambdad.wire.http import Query, decode_uri_text
from lambdad.wire.spec import ServiceSpec


@dataclass(frozen=True, slots=True)
class Route:
    """One operation's address. Sorted so that the most demanding route of a path is tried first."""

    operation: str
    labels: tuple[str, ...]  #: names of the path's variable parts, in order
    fixed_query: Mapping[str, str]  #: "?uploads", "?list-type=2"
    required_query: frozenset[str]
    required_headers: frozenset[str]
    known_query: frozenset[str]
    is_deprecated: bool

    @property
    def order(self) -> tuple[int, int, int, bool, str]:
        demands = (-len(self.fixed_query), -len(self.required_query), -len(self.required_headers))
        return (*demands, self.is_deprecated, self.operation)

    def has_fixed_query(self, query: Query) -> bool:
        return all(name in query and value in ("", query[name][0]) for name, value in self.fixed_query.items())

    def accepts(self, query: Query, headers: Mapping[str, str]) -> bool:
        return self.has_fixed_query(query) and self.required_query <= query.keys() and self.required_headers <= headers.keys()


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    rest: _Node | None = None  #: a label that takes all remaining segments, "{Key+}"
    routes: dict[str, list[Route]] = field(default_factory=dict)  #: by method
    plain_routes: dict[str, list[Route]] = field(default_factory=dict)  #: those that ask nothing of the query


class Match(msgspec.Struct, frozen=True):
    operation: str
    labels: dict[str, str]  #: percent-decoded


class RestTable:
    """All routes of one service as a tree of path segments."""

    def __init__(self, spec: ServiceSpec, *, needs_subresource: bool = False) -> None:
        """With `needs_subresource`, as in S3, what an operation requires in its query also decides that it is meant."""
        self._root = _Node()
        self._needs_subresource = needs_subresource
        routes = [(spec.operation(name).http, _route(spec.operation(name))) for name in spec.operation_names]
        for http, route in routes:
            self._add(http["method"], http["requestUri"].partition("?")[0], route)
        self._known_query = {route.operation: route.known_query | route.fixed_query.keys() for _, route in routes}
        #: Query names that choose an operation and so must not be passed over by another.
        self.subresources = frozenset(name for _, route in routes for name in route.fixed_query) | frozenset(
            name for _, route in routes if not route.fixed_query for name in route.required_query
        )

    def match(self, method: str, path: str, query: Query, headers: Mapping[str, str]) -> Match | None:
        found = self._find(self._root, path.split("/")[1:], 0, [], method, query, headers)
        if found is None and path.endswith("/") and path != "/":
            found = self._find(self._root, path[:-1].split("/")[1:], 0, [], method, query, headers)
        if found is None:
            return None
        route, values = found
        return Match(route.operation, {name: decode_uri_text(value) for name, value in zip(route.labels, values, strict=True)})

    def stray_subresource(self, operation: str, query: Query) -> str | None:
        """A query name that means another operation than the one found, as `?partNumber` on a PUT without `?uploadId`."""
        strays = self.subresources.intersection(query) - self._known_query[operation]
        return min(strays, default=None)

    def _add(self, method: str, path: str, route: Route) -> None:
        node = self._root
        for segment in (path.rstrip("/") or "/").split("/")[1:]:
            if segment.endswith("+}"):
                node.rest = node = node.rest or _Node()
            elif segment.startswith("{"):
                node.variable = node = node.variable or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        node.routes.setdefault(method, []).append(route)
        node.routes[method].sort(key=lambda each: each.order)
        node.plain_routes[method] = [each for each in node.routes[method] if not each.fixed_query and not each.required_query]

    def _find(
        self,
        node: _Node,
        segments: list[str],
        index: int,
        values: list[str],
        method: str,
        query: Query,
        headers: Mapping[str, str],
    ) -> tuple[Route, list[str]] | None:
        if index == len(segments):
            route = self._choose(node, method, query, headers)
            return (route, values) if route else None
        segment = segments[index]
        below = node.literals.get(segment)
        if below is not None:
            found = self._find(below, segments, index + 1, values, method, query, headers)
            if found is not None:
                return found
        if node.variable is not None and segment:
            found = self._find(node.variable, segments, index + 1, [*values, segment], method, query, headers)
            if found is not None:
                return found
        if node.rest is not None and (remainder := "/".join(segments[index:])):
            route = self._choose(node.rest, method, query, headers)
            return (route, [*values, remainder]) if route else None
        return None

    def _choose(self, node: _Node, method: str, query: Query, headers: Mapping[str, str]) -> Route | None:
        """The first route whose demands are met; else the one meant, so that validation can say what is missing."""
        routes = node.routes.get(method)
        if routes is None:
            return None
        for route in routes if query else node.plain_routes[method]:
            if route.accepts(query, headers):
                return self._meant_instead(routes, route, query) if query else route
        return self._meant_instead(routes, None, query)

    def _meant_instead(self, routes: list[Route], accepted: Route | None, query: Query) -> Route | None:
        """A route whose fixed query is there is meant, though something else that it requires is missing."""
        for route in routes:
            if accepted is not None and len(route.fixed_query) <= len(accepted.fixed_query):
                return accepted
            if route.has_fixed_query(query) and (route.fixed_query or not self._needs_subresource):
                return route
        return None


def _route(operation: Any) -> Route:
    path, _, fixed = operation.http["requestUri"].partition("?")
    labels = tuple(segment[1:-1].rstrip("+") for segment in path.split("/") if segment.startswith("{"))
    shape = operation.input_shape
    members = shape.members.items() if shape is not None else ()
    required = set(shape.required_members) if shape is not None else set()
    placed = [(member in required, s.serialization.get("location"), s.serialization.get("name", "")) for member, s in members]
    return Route(
        operation=operation.name,
        labels=labels,
        fixed_query=dict(parse_qsl(fixed, keep_blank_values=True)),
        required_query=frozenset(name for needed, place, name in placed if needed and place == "querystring"),
        required_headers=frozenset(name.lower() for needed, place, name in placed if needed and place == "header"),
        known_query=frozenset(name for _, place, name in placed if place == "querystring"),
        is_deprecated=bool(operation.deprecated),
    )
