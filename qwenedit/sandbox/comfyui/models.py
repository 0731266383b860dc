"""Names of the model files that the sandbox claims to have installed.

Owns: the folders of GET /models and the names in them. There are no files behind the names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

# fmt: off
FOLDERS = [
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision",
    "style_models", "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models",
    "latent_upscale_models", "custom_nodes", "datasets", "hypernetworks", "photomaker", "classifiers",
    "model_patches", "audio_encoders", "background_removal", "frame_interpolation", "geometry_estimation",
    "optical_flow", "detection",
]
# fmt: on

INSTALLED = {
    "diffusion_models": [
        "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
        "qwen_image_edit_2511_bf16.safetensors",
        "qwen_image_edit_2511_fp8mixed.safetensors",
        "qwen_image_edit_2511_int8_convrot.safetensors",
        "qwen_image_edit_fp8_e4m3fn.safetensors",
    ],
    "text_encoders": ["qwen_2.5_vl_7b_fp8_scaled.safetensors"],
    "vae": ["qwen_image_vae.safetensors"],
    "loras": [
        "Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors",
        "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16.safetensors",
        "Qwen-Image-Lightning-4steps-V1.0.safetensors",
    ],
}


class ModelFiles:
    """The model names per folder, minus those that `is_missing` says are not there."""

    def __init__(self, extra: Iterable[str], is_missing: Callable[[str], bool]) -> None:
        """Take `extra` names as `folder/name`; raise ValueError for an unknown folder."""
        self._names: dict[str, list[str]] = defaultdict(list)
        self._is_missing = is_missing
        for folder, names in INSTALLED.items():
            self._names[folder] += names
        for path in extra:
            folder, _, name = path.partition("/")
            if folder not in FOLDERS or not name:
                raise ValueError(f"{path!r} is not folder/name with one of the folders {', '.join(FOLDERS)}")
            self._names[folder].append(name)

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`, sorted; raise KeyError if ComfyUI has no such folder."""
        if folder not in FOLDERS:
            raise KeyError(folder)
        return sorted(name for name in set(self._names[folder]) if not self._is_missing(name))
