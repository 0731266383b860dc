"""What a node class is: inputs with limits and choices, outputs, and the function that runs.

Owns: the shape of a node class, in this program and in GET /object_info. The classes are in `catalogue`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwenedit.sandbox.comfyui.files import Folders
from qwenedit.sandbox.comfyui.models import ModelFiles


@dataclass(frozen=True)
class Resources:
    """What a node class may ask about while a graph is checked: files and model names."""

    folders: Folders
    models: ModelFiles


Choices = Callable[[Resources], list[str]]


@dataclass(frozen=True)
class Input:
    """One input: its type, or where its choices come from, and its options (default, min, max, …)."""

    kind: str | list[str] | Choices
    options: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True

    def resolve(self, resources: Resources) -> str | list[str]:
        """Return the type's name, or the list of choices as it is now."""
        return self.kind(resources) if callable(self.kind) else self.kind

    def choices(self, resources: Resources) -> list[str] | None:
        """Return the allowed values, or None for an input that is no list of choices."""
        kind = self.resolve(resources)
        if isinstance(kind, list):
            return kind
        return self.options["options"] if kind == "COMBO" else None

    def config(self, resources: Resources) -> list[Any]:
        """Return the pair that /object_info and validation errors show."""
        return [self.resolve(resources), dict(self.options)]


@dataclass(frozen=True)
class NodeClass:
    """One node class: `run(context, **inputs)` returns a value per output, or what an output node shows."""

    title: str
    category: str
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]
    run: Callable[..., Any]
    is_output: bool = False
    module: str = "nodes"
    description: str = ""
    extra_info: Mapping[str, Any] = field(default_factory=dict)
    check: Mapping[str, Callable[[Resources, Any], str | None]] = field(default_factory=dict)
    fingerprint: Callable[[Resources, Mapping[str, Any]], str] | None = None

    def info(self, name: str, resources: Resources) -> dict[str, Any]:
        """Return the entry of GET /object_info."""
        groups = {
            "required": {key: item for key, item in self.inputs.items() if item.required},
            "optional": {key: item for key, item in self.inputs.items() if not item.required},
        }
        groups = {group: members for group, members in groups.items() if members}
        return {
            "input": {
                group: {key: item.config(resources) for key, item in members.items()}
                for group, members in groups.items()
            },
            "input_order": {group: list(members) for group, members in groups.items()},
            "is_input_list": False,
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.outputs),
            "name": name,
            "display_name": self.title,
            "description": self.description,
            "python_module": self.module,
            "category": self.category,
            "output_node": self.is_output,
            "has_intermediate_output": False,
            **self.extra_info,
        }
