"""Builds the prompt that ComfyUI runs from a workflow file and the inputs of one edit.

It owns the meaning of the inputs and the size a model works at. Which nodes take them is said
by the files in `workflows/` (see `template`): another model is another file, not other code.
It never talks to a node and reads no settings; what the operator has set arrives as arguments.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from jobs.comfy.errors import WorkflowInputError, WorkflowTemplateError
from jobs.comfy.template import Graph, Template, assign, parse_template

WORKFLOWS = Path(__file__).with_name("workflows")
LIGHTNING = "lightning"
MAX_SEED = 2**64 - 1
AREA_TOLERANCE = 10
WORKFLOW_NAME = re.compile(r"[a-z0-9_]+")
FILENAME_PREFIX = re.compile(r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Names of the model files as the node lists them; None keeps what the workflow names."""

    diffusion: str | None = None
    text_encoder: str | None = None
    vae: str | None = None
    lora: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInputs:
    """What one attempt puts into a workflow.

    `pictures` are references as `ComfyClient.upload_image` returns them, in the user's order;
    those that were not given are absent, not repeated. `width` and `height` are pixels of the
    picture the model works on: `Workflow.model_size`. `filename_prefix` must be used by no
    other attempt: ComfyUI answers an identical prompt with the old file, and gives a deleted
    file's name to the next one. `negative`, `steps`, `cfg` and `models` override what the
    workflow, or its lightning variant, says; None keeps it.
    """

    pictures: Sequence[str]
    prompt: str
    seed: int
    width: int
    height: int
    filename_prefix: str
    negative: str | None = None
    lightning: bool = False
    steps: int | None = None
    cfg: float | None = None
    models: ModelFiles = field(default_factory=ModelFiles)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file that has been checked."""

    name: str
    template: Template

    @classmethod
    def load(cls, name: str, directory: Path = WORKFLOWS) -> "Workflow":
        """Return the workflow of `<name>.json`; files are read once per process.

        Raises WorkflowTemplateError, with all problems at once, also when there is no such file.
        """
        return cls(name, _load_template(name, directory))

    @property
    def title(self) -> str:
        """The model's name, for people."""
        return self.template.title

    @property
    def output_node(self) -> str:
        """The node whose pictures are the result."""
        return self.template.output

    @property
    def sampler_node(self) -> str:
        """The node whose steps are the progress."""
        return self.template.sampler

    @property
    def min_pictures(self) -> int:
        """How many pictures an edit needs."""
        return self.template.min_pictures

    @property
    def max_pictures(self) -> int:
        """How many pictures an edit can have."""
        return len(self.template.pictures)

    @property
    def has_lightning(self) -> bool:
        """Whether there is a variant with few steps."""
        return LIGHTNING in self.template.variants

    def model_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the size at which this model works on a picture of `width` x `height` pixels."""
        return model_size(width, height, megapixels=self.template.megapixels, multiple=self.template.multiple)

    def build(self, inputs: WorkflowInputs) -> Graph:
        """Return the API-format prompt of one attempt.

        An input that the workflow has no binding for is left out: not every model takes a
        negative prompt or a size. Raises WorkflowInputError.
        """
        self._check(inputs)
        variant = LIGHTNING if inputs.lightning else None
        graph = self.template.assemble(len(inputs.pictures), variant)
        values: dict[str, Any] = {
            "prompt": inputs.prompt,
            "negative": inputs.negative,
            "seed": inputs.seed,
            "width": inputs.width,
            "height": inputs.height,
            "steps": inputs.steps,
            "cfg": inputs.cfg,
            "filename_prefix": inputs.filename_prefix,
            **asdict(inputs.models),
        }
        for name, addresses in self.template.bound(variant).items():
            for address in addresses:
                if values[name] is not None:
                    assign(graph, address, values[name])
        for slot, reference in zip(self.template.pictures, inputs.pictures, strict=False):
            for address in slot.image:
                assign(graph, address, reference)
        return graph

    def _check(self, inputs: WorkflowInputs) -> None:
        count = len(inputs.pictures)
        if not self.min_pictures <= count <= self.max_pictures:
            raise WorkflowInputError(
                f"{self.name} takes {self.min_pictures} to {self.max_pictures} pictures, got {count}"
            )
        if inputs.lightning and not self.has_lightning:
            raise WorkflowInputError(f"{self.name} has no lightning variant")
        if not 0 <= inputs.seed <= MAX_SEED:
            raise WorkflowInputError(f"seed {inputs.seed} is not between 0 and {MAX_SEED}")
        if inputs.width < 1 or inputs.height < 1:
            raise WorkflowInputError(f"{inputs.width}x{inputs.height} is not a size")
        # ComfyUI expands %tokens%, and fails while saving when the path leads out of its folder.
        if not FILENAME_PREFIX.fullmatch(inputs.filename_prefix):
            raise WorkflowInputError(f"filename_prefix {inputs.filename_prefix!r} is not a plain path")


def model_size(width: int, height: int, megapixels: float = 1.0, multiple: int = 16) -> tuple[int, int]:
    """Return a size of about `megapixels` (of 1024x1024) whose sides are multiples of `multiple`.

    People expect an edit to keep the shape of their photo: a difference of the aspect ratio
    counts AREA_TOLERANCE times as much as one of the area. Raises ValueError for a size that
    is none.
    """
    if width < 1 or height < 1:
        raise ValueError(f"{width}x{height} is not a size")
    area = megapixels * 1024 * 1024
    ratio = width / height
    ideal_columns = math.sqrt(area * ratio) / multiple
    sizes = []
    for columns in range(max(1, math.floor(ideal_columns * 0.9)), math.ceil(ideal_columns * 1.1) + 1):
        new_width = columns * multiple
        new_height = max(1, round(new_width / ratio / multiple)) * multiple
        stretch = abs(math.log(new_width / new_height / ratio))
        growth = abs(math.log(new_width * new_height / area))
        sizes.append((stretch + growth / AREA_TOLERANCE, new_width, new_height))
    _, new_width, new_height = min(sizes)
    return new_width, new_height


def available_workflows(directory: Path = WORKFLOWS) -> list[str]:
    """Return the names of all workflow files, sorted."""
    return sorted(path.stem for path in directory.glob("*.json"))


def check_workflows(directory: Path = WORKFLOWS) -> list[str]:
    """Return one line for each problem in any workflow file; none means that all can be used."""
    problems = []
    for name in available_workflows(directory):
        try:
            Workflow.load(name, directory)
        except WorkflowTemplateError as error:
            problems += [f"{name}.json: {problem}" for problem in error.problems]
    return problems


@lru_cache(maxsize=64)
def _load_template(name: str, directory: Path) -> Template:
    if not WORKFLOW_NAME.fullmatch(name):
        raise WorkflowTemplateError(f"workflow {name!r}", problems=["the name is not [a-z0-9_]+"])
    path = directory / f"{name}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WorkflowTemplateError(f"workflow {name}", problems=["there is no such file"]) from error
    except (OSError, ValueError) as error:
        raise WorkflowTemplateError(f"workflow {name}", problems=[f"cannot be read: {error}"]) from error
    return parse_template(document, name)
