"""The shape of a prompt: which node runs next, and what makes two nodes the same.

Owns: links, the order of execution, cache signatures. Must not know what nodes do.
A graph maps node ids to `{"class_type": …, "inputs": {…}}`; a link is a two-element list `[node id, output]`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Graph = dict[str, dict[str, Any]]


def is_link(value: object) -> bool:
    """Whether an input's value refers to another node's output."""
    return isinstance(value, list) and len(value) == 2


def links(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of the nodes that `node` takes its inputs from."""
    for value in node.get("inputs", {}).values():
        if is_link(value):
            yield value[0]


class Plan:
    """The order in which ComfyUI runs the nodes of one prompt.

    Only nodes that an output needs take part, and of those not the cached ones (an output that is cached
    takes part: it is shown again). Of the nodes that are ready an output goes first, then what an output
    waits for directly, then what waits behind that, then the one found first.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Iterable[str],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._is_output = is_output
        self._waits_for: dict[str, set[str]] = {}
        self._blocks: dict[str, list[str]] = {}
        for output in outputs:
            self._add(graph, output, is_cached)
        for node_id, sources in self._waits_for.items():
            for source in sources:
                self._blocks.setdefault(source, []).append(node_id)

    def _add(self, graph: Graph, output: str, is_cached: Callable[[str], bool]) -> None:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id in self._waits_for:
                continue
            sources = [] if is_cached(node_id) else [s for s in links(graph[node_id]) if not is_cached(s)]
            self._waits_for[node_id] = set(sources)
            stack += sources

    def __iter__(self) -> Iterator[str]:
        """Yield node ids in order; a node counts as finished when the next one is asked for."""
        while self._waits_for:
            node_id = self._choose([node_id for node_id, waits in self._waits_for.items() if not waits])
            yield node_id
            del self._waits_for[node_id]
            for blocked in self._blocks.get(node_id, ()):
                self._waits_for[blocked].discard(node_id)

    def _choose(self, ready: list[str]) -> str:
        def distance(node_id: str) -> int:
            if self._is_output(node_id):
                return 0
            blocked = self._blocks.get(node_id, [])
            if any(map(self._is_output, blocked)):
                return 1
            return (
                2
                if any(self._is_output(far) for near in blocked for far in self._blocks.get(near, []))
                else 3
            )

        return min(ready, key=distance)


class Signatures:
    """What makes the results of two nodes the same: class, inputs, file contents, and so on upstream.

    A node whose signature cannot be known (its file is gone, a link leads nowhere or in a circle) has none.
    """

    def __init__(self, graph: Graph, fingerprints: Mapping[str, str | None]) -> None:
        self._graph = graph
        self._fingerprints = fingerprints
        self._known: dict[str, str | None] = {}

    def of(self, node_id: str) -> str | None:
        """Return the signature of a node, or None if it has none."""
        if node_id not in self._known:
            self._known[node_id] = None
            self._known[node_id] = self._compute(node_id)
        return self._known[node_id]

    def _compute(self, node_id: str) -> str | None:
        node = self._graph.get(node_id)
        if node is None or self._fingerprints.get(node_id, "") is None:
            return None
        inputs = {}
        for name, value in sorted(node.get("inputs", {}).items()):
            if is_link(value):
                source = self.of(value[0])
                if source is None:
                    return None
                value = ["link", source, value[1]]
            inputs[name] = value
        content = [node["class_type"], self._fingerprints.get(node_id, ""), inputs]
        return hashlib.sha256(json.dumps(content, default=repr).encode()).hexdigest()
