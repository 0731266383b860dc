"""One prompt, from start to success: its nodes in order, cached results, interrupts.

Owns: running nodes, the cache of results, the moment faults strike. Must not know the queue, what single
nodes do, and how clients are told.
"""

import copy
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from qwenedit.sandbox.comfyui import ready
from qwenedit.sandbox.comfyui.catalogue import NODE_CLASSES
from qwenedit.sandbox.comfyui.faults import Faults
from qwenedit.sandbox.comfyui.graph import Plan, Signatures, is_link
from qwenedit.sandbox.comfyui.prompt_queue import Item, Outcome
from qwenedit.sandbox.comfyui.reports import Messenger, Report
from qwenedit.sandbox.comfyui.schema import NodeClass, Resources


class InterruptedPromptError(Exception):
    """The running prompt was interrupted."""


@dataclass(frozen=True)
class Options:
    """How results are made and written."""

    png_compression: int = 4
    metadata: bool = True
    ready: bytes | None = None  # the result of every prompt, instead of computing one


@dataclass(frozen=True)
class _Result:
    """What a node returned: its values, or what an output node shows."""

    values: tuple[Any, ...] = ()
    shown: dict[str, Any] | None = None


class Executor:
    """Runs prompts, one at a time, and remembers the results of the last one."""

    def __init__(self, resources: Resources, faults: Faults, options: Options, messenger: Messenger) -> None:
        self.resources = resources
        self.faults = faults
        self.options = options
        self.messenger = messenger
        self.is_abandoned = False
        self._cache: dict[str, _Result] = {}
        self._interrupted = threading.Event()
        self._run: _Run | None = None

    def execute(self, item: Item) -> Outcome:
        """Run a prompt and return how it ended; never raises for what a node does."""
        self._interrupted.clear()
        self._run = _Run(self, item)
        return self._run.outcome()

    def current_node(self, client_id: str) -> str | None:
        """Return the node that runs now if it is in a prompt of this client."""
        run = self._run
        return run.current_node if run is not None and run.report.client_id == client_id else None

    def interrupt(self) -> None:
        """Ask the running prompt to end at its next step or node."""
        self._interrupted.set()

    def abandon(self) -> None:
        """End the running prompt at its next step or node, a later one at once; no fault strikes them."""
        self.is_abandoned = True

    def check_interrupt(self) -> None:
        """Raise InterruptedPromptError if someone asked for it."""
        if self.is_abandoned or self._interrupted.is_set():
            self._interrupted.clear()
            raise InterruptedPromptError

    # The cache: results by signature, of the last prompt and of the one that runs

    def forget_results(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def keep_only(self, signatures: set[str | None]) -> None:
        """Forget the results that the prompt which starts now has no use for."""
        for signature in self._cache.keys() - signatures:
            del self._cache[signature]

    def recall(self, signature: str | None) -> "_Result | None":
        """Return the result with this signature if it is known."""
        return None if signature is None else self._cache.get(signature)

    def remember(self, signature: str | None, result: "_Result") -> None:
        """Keep a result, unless it has no signature."""
        if signature is not None:
            self._cache[signature] = result


class _Run:
    """The execution of one prompt; the `Context` of its nodes."""

    def __init__(self, executor: Executor, item: Item) -> None:
        _, _, self._graph, self._extra_data, self._outputs = item
        self._executor = executor
        self._messenger = executor.messenger
        self._struck = False
        self._fingerprints: dict[str, str | None] = {}
        self._signatures = Signatures(self._graph, self._fingerprints)
        self._results: dict[str, _Result] = {}
        self.report = Report(item, executor.messenger)
        self.current_node: str | None = None
        self.folders = executor.resources.folders
        self.png_compression = executor.options.png_compression

    def outcome(self) -> Outcome:
        """Run the prompt."""
        report = self.report
        report.started()
        # Whether a picture has changed is asked within the execution: reading it is work, and no pause.
        self._fingerprints.update(self._take_fingerprints())
        self._executor.keep_only({self._signatures.of(node_id) for node_id in self._graph})
        cached = [node_id for node_id in self._graph if self._cached(node_id) is not None]
        report.cached(cached)
        plan = Plan(self._graph, self._outputs, lambda node_id: node_id in cached, self._is_output)
        success = all(self._run_node(node_id) for node_id in plan)
        if success:
            report.succeeded()
        self.current_node = None
        return Outcome(report.shown, report.meta(), success, report.kept)

    # What nodes may ask for

    @property
    def seconds_per_step(self) -> float:
        """The time one sampling step takes."""
        return self._executor.faults.now.seconds_per_step

    def progress(self, value: int, total: int, picture: Image.Image) -> None:
        """Report a finished step of the current node."""
        if 2 * value >= total:
            self._strike()
        self._executor.check_interrupt()
        self.report.node_progressed(self.current_node or "", value, total, picture)

    def png_metadata(self) -> Mapping[str, str]:
        """Return the prompt and what came with it in extra_pnginfo, as JSON texts."""
        if not self._executor.options.metadata:
            return {}
        graph = copy.deepcopy(self._graph)
        for node_id, fingerprint in self._fingerprints.items():
            graph[node_id]["is_changed"] = [fingerprint]
        extra = self._extra_data.get("extra_pnginfo") or {}
        return {key: json.dumps(value) for key, value in ({"prompt": graph} | extra).items()}

    # One node

    def _run_node(self, node_id: str) -> bool:
        result = self._cached(node_id)
        if result is not None:
            self.report.node_finished(node_id, result.shown, was_cached=True)
            return True
        self.current_node = node_id
        self.report.node_started(node_id)
        inputs: dict[str, Any] = {}
        try:
            inputs |= self._inputs(node_id)
            if self._is_output(node_id):
                self._strike()
            self._executor.check_interrupt()
            returned = self._returned(node_id, inputs)
        except InterruptedPromptError:
            self.report.interrupted(node_id)
            return False
        except Exception as error:  # whatever a node raises is reported, as ComfyUI does
            self.report.failed(node_id, inputs, error)
            return False
        result = _Result(shown=returned) if self._is_output(node_id) else _Result(values=returned)
        self._results[node_id] = result
        self._executor.remember(self._signatures.of(node_id), result)
        self.report.node_finished(node_id, result.shown, was_cached=False)
        return True

    def _returned(self, node_id: str, inputs: dict[str, Any]) -> Any:
        picture = self._executor.options.ready
        if picture is not None:
            return ready.run(self._class(node_id), self, picture, **inputs)
        return self._class(node_id).run(self, **inputs)

    def _class(self, node_id: str) -> NodeClass:
        return NODE_CLASSES[self._graph[node_id]["class_type"]]

    def _is_output(self, node_id: str) -> bool:
        return self._class(node_id).is_output

    def _cached(self, node_id: str) -> _Result | None:
        return self._executor.recall(self._signatures.of(node_id))

    def _take_fingerprints(self) -> dict[str, str | None]:
        taken: dict[str, str | None] = {}
        for node_id, node in self._graph.items():
            fingerprint = self._class(node_id).fingerprint
            if fingerprint is not None:
                try:
                    taken[node_id] = fingerprint(self._executor.resources, node["inputs"])
                except Exception:  # ComfyUI, too, takes any failure for "has changed"
                    taken[node_id] = None
        return taken

    def _inputs(self, node_id: str) -> dict[str, Any]:
        given = self._graph[node_id]["inputs"]
        return {
            name: self._follow(*given[name]) if is_link(given[name]) else given[name]
            for name in self._class(node_id).inputs
            if name in given
        }

    def _follow(self, node_id: str, slot: int) -> Any:
        result = self._results.get(node_id) or self._cached(node_id)
        if result is None:
            raise KeyError(node_id)
        return result.values[slot]

    def _strike(self) -> None:
        if not self._struck:
            self._struck = True
            executor = self._executor
            executor.faults.strike(self._messenger.break_all, lambda: executor.is_abandoned)
