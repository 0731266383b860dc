"""Is this graph runnable? The checks that POST /prompt makes, and their exact complaints.

Owns: error types, texts and shapes. Converts literal inputs in place ("64" becomes 64), as ComfyUI does.
"""

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwenedit.sandbox.comfyui.catalogue import NODE_CLASSES
from qwenedit.sandbox.comfyui.graph import Graph, is_link
from qwenedit.sandbox.comfyui.schema import Input, Resources

LONGEST_LIST_SHOWN = 20
CONVERSIONS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}

Complaint = dict[str, Any]


@dataclass
class Verdict:
    """What validation found: the error that refuses the prompt, or the outputs that will run."""

    error: Complaint | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def complaint(kind: str, message: str, details: str = "", **extra_info: Any) -> Complaint:
    """Return an error in ComfyUI's shape."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def validate(graph: Graph, resources: Resources, targets: Collection[str] | None = None) -> Verdict:
    """Check a graph; `targets` limits the output nodes that shall run."""
    outputs = []
    for node_id, node in graph.items():
        if error := _unknown_class(node_id, node):
            return Verdict(error=error)
        if NODE_CLASSES[node["class_type"]].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(error=complaint("prompt_no_outputs", "Prompt has no outputs"))

    check = _Check(graph, resources)
    verdict = Verdict()
    refused: list[Complaint] = []
    for output in outputs:
        if check.output(output):
            verdict.outputs.append(output)
            continue
        refused += check.found.get(output, [])
        for node_id, errors in check.found.items():
            if errors:
                class_type = graph[node_id]["class_type"]
                entry = verdict.node_errors.setdefault(
                    node_id, {"errors": errors, "dependent_outputs": [], "class_type": class_type}
                )
                entry["dependent_outputs"].append(output)
    if not verdict.outputs:
        details = "\n".join(f"{error['message']}: {error['details']}" for error in refused)
        message = "Prompt outputs failed validation"
        verdict.error = complaint("prompt_outputs_failed_validation", message, details)
    return verdict


def _unknown_class(node_id: str, node: Mapping[str, Any]) -> Complaint | None:
    title = node.get("_meta", {}).get("title")
    if "class_type" not in node:
        named = title or f"ID #{node_id}"
        problem = (
            f"Node '{named}' has no class_type. The workflow may be corrupted or a custom node is missing."
        )
    elif node["class_type"] not in NODE_CLASSES:
        title = title or node["class_type"]
        problem = f"Node '{title}' not found. The custom node may not be installed."
    else:
        return None
    return complaint(
        "missing_node_type",
        problem,
        f"Node ID '#{node_id}'",
        node_id=node_id,
        class_type=node.get("class_type"),
        node_title=title,
    )


class _Check:
    """The walk through one graph. `found` maps a node that was looked at to its errors, [] for none."""

    def __init__(self, graph: Graph, resources: Resources) -> None:
        self._graph = graph
        self._resources = resources
        self._valid: dict[str, bool] = {}
        self._path: list[str] = []
        self.found: dict[str, list[Complaint]] = {}

    def output(self, node_id: str) -> bool:
        """Check an output node and all it needs."""
        try:
            return self._node(node_id)
        except Exception as error:
            details = {
                "exception_type": type(error).__name__,
                "traceback": traceback.format_tb(error.__traceback__),
            }
            message = "Exception when validating node"
            self._fail(node_id, complaint("exception_during_validation", message, str(error), **details))
            return False
        finally:
            self._path.clear()

    def _fail(self, node_id: str, *errors: Complaint) -> None:
        self._valid[node_id] = False
        self.found.setdefault(node_id, []).extend(errors)

    def _node(self, node_id: str) -> bool:
        if node_id in self._path:
            self._fail_cycle(self._path[self._path.index(node_id) :])
        if node_id in self._valid:
            return self._valid[node_id]
        values = self._graph[node_id]["inputs"]
        node_class = NODE_CLASSES[self._graph[node_id]["class_type"]]
        self._path.append(node_id)
        valid = True
        errors = []
        for name, declared in node_class.inputs.items():
            if name not in values:
                if declared.required:
                    message = "Required input is missing"
                    errors.append(complaint("required_input_missing", message, name, input_name=name))
                continue
            if isinstance(values[name], list):
                error, source_valid = self._link(name, declared, values[name])
                valid = valid and source_valid
            else:
                error = self._literal(name, declared, values, checked=name in node_class.check)
            if error:
                errors.append(error)
        for name, check in node_class.check.items():
            if (problem := check(self._resources, values.get(name))) is not None:
                message = "Custom validation failed for node"
                error = complaint("custom_validation_failed", message, f"{name} - {problem}", input_name=name)
                errors.append(error)
        self._path.pop()
        if errors or not valid or node_id in self._valid:
            self._fail(node_id, *errors)
        else:
            self._valid[node_id] = True
            self.found[node_id] = []
        return self._valid[node_id]

    def _fail_cycle(self, cycle: list[str]) -> None:
        names = [f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in [*cycle, cycle[0]]]
        for node_id in cycle:
            message = "Dependency cycle detected"
            extra_info = {"node_id": node_id, "cycle_nodes": cycle}
            self._fail(node_id, complaint("dependency_cycle", message, " -> ".join(names), **extra_info))

    def _link(self, name: str, declared: Input, value: list[Any]) -> tuple[Complaint | None, bool]:
        if not is_link(value):
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            config = declared.config(self._resources)
            extra_info = {"input_name": name, "input_config": config, "received_value": value}
            return complaint("bad_linked_input", message, name, **extra_info), True
        source, slot = value
        received = NODE_CLASSES[self._graph[source]["class_type"]].outputs[slot]
        expected = declared.resolve(self._resources)
        if received != expected:
            message = "Return type mismatch between linked nodes"
            details = f"{name}, received_type({received}) mismatch input_type({expected})"
            extra_info = {
                "input_name": name,
                "input_config": declared.config(self._resources),
                "received_type": received,
                "linked_node": value,
            }
            return complaint("return_type_mismatch", message, details, **extra_info), True
        depth = len(self._path)
        try:
            return None, self._node(source)
        except Exception as error:
            del self._path[depth:]
            problem = complaint(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(error),
                input_name=name,
                input_config=declared.config(self._resources),
                exception_message=str(error),
                exception_type=type(error).__name__,
                traceback=traceback.format_tb(error.__traceback__),
                linked_node=value,
            )
            self._fail(source, problem)
            return None, False

    def _literal(
        self, name: str, declared: Input, values: dict[str, Any], *, checked: bool
    ) -> Complaint | None:
        value = values[name]

        def about(received: Any, **more: Any) -> dict[str, Any]:
            # Read only for a complaint: the choices of a LoadImage are the whole input folder.
            return {
                "input_name": name,
                "input_config": declared.config(self._resources),
                "received_value": received,
                **more,
            }

        kind = declared.kind if isinstance(declared.kind, str) else ""
        if kind in CONVERSIONS:
            try:
                value = values[name] = CONVERSIONS[kind](value)
            except Exception as error:
                message = f"Failed to convert an input value to a {kind} value"
                extra_info = about(value, exception_message=str(error))
                return complaint("invalid_input_type", message, f"{name}, {value}, {error}", **extra_info)
        low, high = declared.options.get("min"), declared.options.get("max")
        if low is not None and value < low:
            message = f"Value {value} smaller than min of {low}"
            return complaint("value_smaller_than_min", message, name, **about(value))
        if high is not None and value > high:
            message = f"Value {value} bigger than max of {high}"
            return complaint("value_bigger_than_max", message, name, **about(value))
        choices = None if checked else declared.choices(self._resources)
        if choices is not None and value not in choices:
            shown = str(choices)
            extra_info = about(value)
            if len(choices) > LONGEST_LIST_SHOWN:
                shown = f"(list of length {len(choices)})"
                extra_info["input_config"] = None
            return complaint(
                "value_not_in_list", "Value not in list", f"{name}: '{value}' not in {shown}", **extra_info
            )
        return None
