"""The shape of a workflow file: which keys it has and of which kind their values are.

It stands before `template`, which explains the format and checks what the values mean.
"""

from collections.abc import Iterator, Mapping
from typing import Any

REQUIRED_BINDINGS = frozenset({"prompt", "seed", "filename_prefix"})
OPTIONAL_BINDINGS = frozenset(
    {
        "negative",
        "steps",
        "cfg",
        "width",
        "height",
        "diffusion",
        "text_encoder",
        "vae",
        "lora",
    }
)
BINDINGS = REQUIRED_BINDINGS | OPTIONAL_BINDINGS


KEYS = frozenset(
    {"title", "output", "sampler", "megapixels", "multiple", "pictures", "bindings", "variants", "graph"}
)
OPTIONAL_KEYS = frozenset({"variants"})


def shape_problems(document: Any) -> Iterator[str]:
    """Yield what keeps a decoded workflow file from being read at all."""
    if not isinstance(document, dict):
        yield "the file is not a JSON object"
        return
    yield from _key_problems(document, KEYS - OPTIONAL_KEYS, OPTIONAL_KEYS, "the file")
    for key in ("title", "output", "sampler"):
        if key in document and not (isinstance(document[key], str) and document[key]):
            yield f"{key} is not a text"
    if "megapixels" in document and not _is_positive(document["megapixels"], (int, float)):
        yield "megapixels is not a positive number"
    if "multiple" in document and not _is_positive(document["multiple"], (int,)):
        yield "multiple is not a positive whole number"
    yield from _picture_shape_problems(document.get("pictures", []))
    yield from _binding_shape_problems(document.get("bindings", {}), "bindings")
    yield from _graph_shape_problems(document.get("graph", {}), "graph")
    variants = document.get("variants", {})
    if not isinstance(variants, dict):
        yield "variants is not an object"
        return
    for name, variant in variants.items():
        if not isinstance(variant, dict):
            yield f"variant {name} is not an object"
            continue
        yield from _key_problems(
            variant, frozenset(), frozenset({"nodes", "inputs", "bindings"}), f"variant {name}"
        )
        yield from _graph_shape_problems(variant.get("nodes", {}), f"variant {name}: nodes")
        yield from _binding_shape_problems(variant.get("bindings", {}), f"variant {name}: bindings")
        if not isinstance(variant.get("inputs", {}), dict):
            yield f"variant {name}: inputs is not an object"


def _key_problems(
    value: Mapping[str, Any], required: frozenset[str], optional: frozenset[str], where: str
) -> Iterator[str]:
    for key in sorted(required - value.keys()):
        yield f"{where} has no {key}"
    for key in sorted(value.keys() - required - optional):
        yield f"{where} has an unknown key {key}"


def _picture_shape_problems(pictures: Any) -> Iterator[str]:
    if not isinstance(pictures, list) or not pictures:
        yield "pictures is not a list of at least one picture"
        return
    for number, slot in enumerate(pictures, start=1):
        if not isinstance(slot, dict):
            yield f"picture {number} is not an object"
            continue
        yield from _key_problems(slot, frozenset({"image"}), frozenset({"absent"}), f"picture {number}")
        for key in ("image", "absent"):
            if key in slot and not _is_text_list(slot[key]):
                yield f"picture {number}: {key} is not a list of addresses"


def _binding_shape_problems(bindings: Any, where: str) -> Iterator[str]:
    if not isinstance(bindings, dict):
        yield f"{where} is not an object"
        return
    for name, addresses in bindings.items():
        if name not in BINDINGS:
            yield f"{where}: unknown binding {name}, known are {', '.join(sorted(BINDINGS))}"
        if not _is_text_list(addresses):
            yield f"{where}: {name} is not a list of addresses"


def _graph_shape_problems(graph: Any, where: str) -> Iterator[str]:
    if not isinstance(graph, dict):
        yield f"{where} is not an object"
        return
    for node_id, node in graph.items():
        if not node_id or "." in node_id:
            yield f"{where}: a node's id is empty or has a dot: {node_id!r}"
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            yield f"{where}: node {node_id} has no class_type"
        elif not isinstance(node.get("inputs"), dict):
            yield f"{where}: node {node_id} has no inputs"


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_positive(value: Any, kinds: tuple[type[int] | type[float], ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool) and bool(value > 0)
