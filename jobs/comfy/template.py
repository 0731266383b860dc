"""Workflow files: what they may say, and the check that what they say holds together.

A workflow file is JSON. Its `graph` is an API-format prompt that ComfyUI can run as it is;
everything else says, explicitly, what may be changed in it:

    {
      "title": "…",
      "output": "save",                       the node whose pictures are the result
      "sampler": "sampler",                   the node whose steps are the progress
      "megapixels": 1.0, "multiple": 16,      size the model works at
      "pictures": [                           one entry for each picture, in order
        {"image": ["image1.image"]},
        {"image": ["image2.image"], "absent": ["image2", "positive.image2"]}
      ],
      "bindings": {"prompt": ["positive.prompt"], "seed": ["sampler.seed"], …},
      "variants": {
        "lightning": {"nodes": {"lora": {…}}, "inputs": {"sampler.steps": 4}, "bindings": {…}}
      },
      "graph": {…}
    }

An address is `node.input` (the first dot separates; inputs may have dots themselves) or, under
`absent`, a bare `node`. `absent` lists what to remove when the picture is not given; an entry
without it must be given. A binding sets each of its addresses; a value that is not given
stays as the graph or the variant has it. A variant adds nodes, sets inputs (links too) and adds
bindings.

This module must not know what the values are; `workflow` fills them in.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.comfy.errors import WorkflowTemplateError
from jobs.comfy.template_shape import REQUIRED_BINDINGS, shape_problems

Graph = dict[str, dict[str, Any]]
"""An API-format prompt: node id to `{"class_type", "inputs"}`."""


@dataclass(frozen=True, slots=True)
class PictureSlot:
    """Where a picture's reference goes, and what goes away without it."""

    image: tuple[str, ...]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A change of the graph under a name."""

    nodes: Graph = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    bindings: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Template:
    """A checked workflow file."""

    title: str
    output: str
    sampler: str
    megapixels: float
    multiple: int
    pictures: tuple[PictureSlot, ...]
    bindings: dict[str, tuple[str, ...]]
    variants: dict[str, Variant]
    graph: Graph

    @property
    def min_pictures(self) -> int:
        """How many pictures must be given."""
        return sum(not slot.absent for slot in self.pictures)

    def assemble(self, pictures: int, variant: str | None) -> Graph:
        """Return a fresh graph for that many pictures, with nothing filled in."""
        graph: Graph = _copy(self.graph)
        if variant is not None:
            graph.update(_copy(self.variants[variant].nodes))
            for address, value in self.variants[variant].inputs.items():
                assign(graph, address, _copy(value))
        for slot in self.pictures[pictures:]:
            for address in slot.absent:
                _remove(graph, address)
        return graph

    def bound(self, variant: str | None) -> dict[str, tuple[str, ...]]:
        """Return the bindings that hold in a variant."""
        return self.bindings | (self.variants[variant].bindings if variant is not None else {})


def parse_template(document: Any, name: str) -> Template:
    """Check a decoded workflow file.

    Raises WorkflowTemplateError that lists every problem. Problems of shape hide those of
    meaning: the links of a graph that is not one cannot be followed.
    """
    problems = list(shape_problems(document))
    if not problems:
        template = _template(document)
        problems = list(dict.fromkeys(_meaning_problems(template)))
        if not problems:
            return template
    raise WorkflowTemplateError(f"workflow {name}", problems=problems)


def assign(graph: Graph, address: str, value: Any) -> None:
    """Set the input at `address`, a `node.input` of a node that exists."""
    node, _, name = address.partition(".")
    graph[node]["inputs"][name] = value


def is_link(value: object) -> bool:
    """Whether an input's value is `[node id, output number]`, as ComfyUI tells links from values."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _copy(value: Any) -> Any:
    """Return a deep copy of JSON: by way of its text it takes a fifth of the time that `deepcopy` does."""
    return json.loads(json.dumps(value))


def _remove(graph: Graph, address: str) -> None:
    node, _, name = address.partition(".")
    if name:
        graph[node]["inputs"].pop(name, None)
    else:
        graph.pop(node, None)


def _template(document: Mapping[str, Any]) -> Template:
    return Template(
        title=document["title"],
        output=document["output"],
        sampler=document["sampler"],
        megapixels=float(document["megapixels"]),
        multiple=document["multiple"],
        pictures=tuple(
            PictureSlot(tuple(slot["image"]), tuple(slot.get("absent", ()))) for slot in document["pictures"]
        ),
        bindings=_bindings(document["bindings"]),
        variants={
            name: Variant(
                variant.get("nodes", {}), variant.get("inputs", {}), _bindings(variant.get("bindings", {}))
            )
            for name, variant in document.get("variants", {}).items()
        },
        graph=document["graph"],
    )


def _bindings(bindings: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(addresses) for name, addresses in bindings.items()}


def _meaning_problems(template: Template) -> Iterator[str]:
    for name in sorted(REQUIRED_BINDINGS - template.bindings.keys()):
        yield f"there is no binding {name}"
    if not template.min_pictures:
        yield "the first picture cannot be absent"
    if any(slot.absent for slot in template.pictures[: template.min_pictures]):
        yield "a picture that must be given follows one that may be absent"
    for variant in (None, *template.variants):
        broken = list(_address_problems(template, variant))
        yield from broken
        if not broken:
            for pictures in range(max(template.min_pictures, 1), len(template.pictures) + 1):
                yield from _graph_problems(template, pictures, variant)


def _address_problems(template: Template, variant: str | None) -> Iterator[str]:
    """Find addresses that lead nowhere, before anything is assembled by them."""
    suffix = f" (variant {variant})" if variant else ""
    nodes = template.graph | (template.variants[variant].nodes if variant else {})
    for address in template.variants[variant].inputs if variant else ():
        node, _, name = address.partition(".")
        if node not in nodes or not name:
            yield f"the variant sets {address}, which is not an input of a node{suffix}"
    targets: dict[str, str] = {}
    for owner, address in _targets(template, variant):
        node, _, name = address.partition(".")
        if node not in nodes or name not in nodes[node]["inputs"]:
            yield f"{owner} is bound to {address}, which does not exist{suffix}"
        elif is_link(nodes[node]["inputs"][name]):
            yield f"{owner} is bound to {address}, which is a link{suffix}"
        elif address in targets:
            yield f"{owner} and {targets[address]} are both bound to {address}{suffix}"
        targets[address] = owner
    for number, slot in enumerate(template.pictures, start=1):
        for address in slot.absent:
            node, _, name = address.partition(".")
            if node not in nodes or (name and name not in nodes[node]["inputs"]):
                yield f"picture {number}: absent names {address}, which does not exist{suffix}"
    for what, node in (("output", template.output), ("sampler", template.sampler)):
        if node not in nodes:
            yield f"{what} names the node {node}, which does not exist{suffix}"


def _graph_problems(template: Template, pictures: int, variant: str | None) -> Iterator[str]:
    """Follow the links of the graph as it would be sent."""
    suffix = f" ({pictures} of {len(template.pictures)} pictures{f', variant {variant}' if variant else ''})"
    graph = template.assemble(pictures, variant)
    loose = [
        f"{node_id}.{name} links to {source}, which does not exist{suffix}"
        for node_id, node in graph.items()
        for name, source in _links(node)
        if source not in graph
    ]
    yield from loose
    if loose or template.output not in graph:
        return
    needed = _needed(graph, template.output)
    for owner, address in _targets(template, variant, pictures):
        node = address.partition(".")[0]
        if node not in needed:
            yield f"{owner} is bound to {address}, but {template.output} does not depend on it{suffix}"
    if template.sampler not in needed:
        yield f"{template.output} does not depend on the sampler {template.sampler}{suffix}"


def _targets(
    template: Template, variant: str | None, pictures: int | None = None
) -> Iterable[tuple[str, str]]:
    for name, addresses in template.bound(variant).items():
        yield from ((name, address) for address in addresses)
    for number, slot in enumerate(template.pictures[:pictures], start=1):
        yield from ((f"picture {number}", address) for address in slot.image)


def _links(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in node["inputs"].items():
        if is_link(value):
            yield name, value[0]


def _needed(graph: Graph, output: str) -> set[str]:
    """Return the nodes that ComfyUI would run for `output`."""
    needed: set[str] = set()
    waiting = [output]
    while waiting:
        node_id = waiting.pop()
        if node_id not in needed:
            needed.add(node_id)
            waiting.extend(source for _, source in _links(graph[node_id]))
    return needed
