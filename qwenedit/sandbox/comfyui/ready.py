"""One ready picture as the result of every prompt: what is left is the cost of the protocol.

Owns: what node classes do in that mode. Nothing is decoded, filtered or encoded; a sampler still takes the
time of its steps and reports each of them, an output node still writes a file of its own. For benchmarks, in
which the time a stand-in spends on filters would be taken for that of the system around it.
"""

from typing import Any

from PIL import Image

from qwenedit.sandbox.comfyui.nodes import Context, pace
from qwenedit.sandbox.comfyui.schema import NodeClass

PREVIEW = Image.new("RGB", (8, 8), "gray")


def run(node_class: NodeClass, context: Context, picture: bytes, **inputs: Any) -> Any:
    """Stand for `node_class.run`; values that travel along links are all None."""
    if node_class.is_output:
        path, filename, subfolder = next(
            context.folders.new_results("output", inputs["filename_prefix"], (0, 0))
        )
        path.write_bytes(picture)
        return {"images": [{"filename": filename, "subfolder": subfolder, "type": "output"}]}
    if "steps" in node_class.inputs:
        pace(context, inputs["steps"], PREVIEW)
    return (None,) * len(node_class.outputs)
