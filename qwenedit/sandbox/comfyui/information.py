"""What a server tells about itself: machine, features, node classes, model files.

Owns: those GET requests. Nothing here changes anything.
"""

import platform
import sys
from typing import TYPE_CHECKING

import psutil
from aiohttp import web

from qwenedit.sandbox.comfyui.catalogue import NODE_CLASSES
from qwenedit.sandbox.comfyui.models import FOLDERS

if TYPE_CHECKING:
    from qwenedit.sandbox.comfyui.server import Sandbox

COMFYUI_VERSION = "0.33.0"
DEVICE_NAME = "QwenEdit sandbox (no model)"


class InformationRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def system_stats(self, request: web.Request) -> web.Response:
        """Tell about the machine; the device is called what it is."""
        memory = psutil.virtual_memory()
        system = {
            "os": sys.platform,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": None,
            "installed_templates_version": None,
            "required_templates_version": None,
            "comfy_package_versions": [],
            "python_version": sys.version,
            "pytorch_version": "none",
            "embedded_python": False,
            "deploy_environment": f"sandbox-{platform.system().lower()}",
            "argv": sys.argv,
        }
        device = {
            "name": DEVICE_NAME,
            "type": "cpu",
            "index": None,
            "vram_total": memory.total,
            "vram_free": memory.available,
            "torch_vram_total": memory.total,
            "torch_vram_free": memory.available,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def features(self, request: web.Request) -> web.Response:
        """Tell what the server can do."""
        return web.json_response(self._sandbox.features())

    async def object_info(self, request: web.Request) -> web.Response:
        """Describe every node class, or one; {} for one that does not exist."""
        name = request.match_info.get("node_class")
        chosen = {key: node for key, node in NODE_CLASSES.items() if name in (None, key)}
        resources = self._sandbox.resources
        return web.json_response({key: node.info(key, resources) for key, node in chosen.items()})

    async def model_folders(self, request: web.Request) -> web.Response:
        """List the kinds of model files."""
        return web.json_response(FOLDERS)

    async def models(self, request: web.Request) -> web.Response:
        """List the model files of one kind."""
        try:
            return web.json_response(self._sandbox.resources.models.names(request.match_info["folder"]))
        except KeyError:
            return web.Response(status=404)

    async def users(self, request: web.Request) -> web.Response:
        """Tell that there are no users."""
        return web.json_response({"storage": "server", "migrated": False})
