"""Start-up checks of what edits need."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from jobs.capacity import wanted_threads
from jobs.catalogue import CatalogueError, read_catalogue
from jobs.comfy.workflow import available_workflows, check_workflows
from jobs.policy import rules
from jobs.policy.rules import PolicyError


@register()
def check_workflow_templates(**_kwargs: Any) -> list[CheckMessage]:
    """Every workflow's bindings name nodes and inputs that exist, and the chosen one is there."""
    found: list[CheckMessage] = [
        Error(problem, hint="Repair the file under jobs/comfy/workflows/.", id="jobs.E001")
        for problem in check_workflows()
    ]
    if settings.COMFYUI_WORKFLOW not in available_workflows():
        found.append(
            Error(
                f"COMFYUI_WORKFLOW={settings.COMFYUI_WORKFLOW} is no workflow under jobs/comfy/workflows/.",
                hint="Use one of: " + ", ".join(available_workflows()),
                id="jobs.E002",
            )
        )
    return found


@register()
def check_data_files(**_kwargs: Any) -> list[CheckMessage]:
    """The preset catalogue and the prompt policy can be read."""
    found: list[CheckMessage] = []
    try:
        read_catalogue()
    except CatalogueError as error:
        found.append(
            Error("; ".join(error.problems), hint="Repair the file under jobs/presets/.", id="jobs.E003")
        )
    try:
        rules()
    except PolicyError as error:
        found.append(Error(str(error), hint="Repair the file under jobs/policy/.", id="jobs.E004"))
    return found


@register()
def check_worker_threads(**_kwargs: Any) -> list[CheckMessage]:
    """A worker has threads for the nodes of COMFYUI_URL; those of the database are counted when it starts."""
    needed = wanted_threads(nodes=len(settings.COMFYUI_URLS))
    if needed is None:
        return []
    return [
        Warning(
            f"WORKER_THREADS={settings.WORKER_THREADS} can not follow all attempts of COMFYUI_URL.",
            hint=f"Set it to {needed} or more, or start more workers.",
            id="jobs.W001",
        )
    ]


@register(Tags.security, deploy=True)
def check_comfyui_is_named(**_kwargs: Any) -> list[CheckMessage]:
    """With DEBUG off nobody starts a stand-in: edits would wait for ever."""
    if settings.COMFYUI_URLS:
        return []
    return [
        Warning(
            "COMFYUI_URL names no ComfyUI.",
            hint="Set COMFYUI_URL to the address of your ComfyUI, or several, comma-separated.",
            id="jobs.W002",
        )
    ]
