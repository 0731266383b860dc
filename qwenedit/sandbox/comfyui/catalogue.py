"""The node classes that the sandbox knows, as data.

Owns: names, inputs, limits, choices and outputs. What a class does is in `nodes`. Names, limits, defaults and
tooltips are ComfyUI 0.33's: they come back in its validation errors.
"""

from typing import Any

from qwenedit.sandbox.comfyui import nodes
from qwenedit.sandbox.comfyui.schema import Input, NodeClass

MAX_RESOLUTION = 16384
MAX_SEED = 0xFFFFFFFFFFFFFFFF
UPSCALE_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
# fmt: off
SAMPLERS = [
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2",
    "exp_heun_2_x0", "exp_heun_2_x0_sde", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive",
    "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m",
    "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm", "ipndm_v", "deis", "res_multistep",
    "res_multistep_cfg_pp", "res_multistep_ancestral", "res_multistep_ancestral_cfg_pp",
    "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2", "seeds_3", "sa_solver",
    "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
]
SCHEDULERS = [
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal",
    "linear_quadratic", "kl_optimal",
]
CLIP_TYPES = [
    "stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos",
    "lumina2", "wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image", "flux2",
    "ovis", "longcat_image",
]
LOAD_IMAGE_EXTRAS = {
    "search_aliases": [
        "load image", "open image", "import image", "image input", "upload image", "read image",
        "image loader",
    ],
    "essentials_category": "Basics",
}
# fmt: on
WEIGHT_TYPES = ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
REFERENCE_METHODS = ["offset", "index", "uxo/uno", "index_timestep_zero"]


def _models(folder: str) -> Input:
    return Input(lambda resources: resources.models.names(folder))


def _integer(default: int, low: int, high: int, **options: Any) -> Input:
    return Input("INT", {"default": default, "min": low, "max": high, **options})


def _decimal(default: float, low: float, high: float, **options: Any) -> Input:
    return Input("FLOAT", {"default": default, "min": low, "max": high, **options})


def _optional(kind: str) -> Input:
    return Input(kind, required=False)


def _combo(choices: list[str], **options: Any) -> Input:
    return Input("COMBO", {"multiselect": False, "options": choices, **options})


IMAGE = Input("IMAGE")

NODE_CLASSES: dict[str, NodeClass] = {
    "UNETLoader": NodeClass(
        title="Load Diffusion Model",
        category="advanced/loaders",
        inputs={"unet_name": _models("diffusion_models"), "weight_dtype": Input(WEIGHT_TYPES)},
        outputs=("MODEL",),
        run=nodes.load_diffusion_model,
    ),
    "CLIPLoader": NodeClass(
        title="Load CLIP",
        category="advanced/loaders",
        inputs={
            "clip_name": _models("text_encoders"),
            "type": Input(CLIP_TYPES),
            "device": Input(["default", "cpu"], {"advanced": True}, required=False),
        },
        outputs=("CLIP",),
        run=nodes.load_text_encoder,
    ),
    "VAELoader": NodeClass(
        title="Load VAE",
        category="loaders",
        inputs={"vae_name": Input(lambda resources: [*resources.models.names("vae"), "pixel_space"])},
        outputs=("VAE",),
        run=nodes.load_vae,
    ),
    "LoraLoaderModelOnly": NodeClass(
        title="Load LoRA (Model)",
        category="loaders",
        inputs={
            "model": Input("MODEL"),
            "lora_name": _models("loras"),
            "strength_model": _decimal(1.0, -100.0, 100.0, step=0.01),
        },
        outputs=("MODEL",),
        run=nodes.patch_model,
    ),
    "ModelSamplingAuraFlow": NodeClass(
        title="ModelSamplingAuraFlow",
        category="advanced/model",
        inputs={"model": Input("MODEL"), "shift": _decimal(1.73, 0.0, 100.0, step=0.01)},
        outputs=("MODEL",),
        run=nodes.patch_model,
        module="comfy_extras.nodes_model_advanced",
    ),
    "CFGNorm": NodeClass(
        title="CFGNorm",
        category="advanced/guidance",
        inputs={"model": Input("MODEL"), "strength": _decimal(1.0, 0.0, 100.0, step=0.01)},
        outputs=("MODEL",),
        run=nodes.patch_model,
        module="comfy_extras.nodes_cfg",
    ),
    "LoadImage": NodeClass(
        title="Load Image",
        category="image",
        inputs={"image": Input(lambda resources: resources.folders.input_names(), {"image_upload": True})},
        outputs=("IMAGE", "MASK"),
        run=nodes.load_image,
        check={"image": lambda resources, name: nodes.missing_image(resources.folders, name)},
        extra_info=LOAD_IMAGE_EXTRAS,
        fingerprint=lambda resources, inputs: nodes.image_digest(resources.folders, inputs["image"]),
    ),
    "ImageScale": NodeClass(
        title="Upscale Image",
        category="image/upscaling",
        inputs={
            "image": IMAGE,
            "upscale_method": Input(UPSCALE_METHODS),
            "width": _integer(512, 0, MAX_RESOLUTION, step=1),
            "height": _integer(512, 0, MAX_RESOLUTION, step=1),
            "crop": Input(["disabled", "center"]),
        },
        outputs=("IMAGE",),
        run=nodes.scale_image,
    ),
    "ImageScaleToTotalPixels": NodeClass(
        title="Scale Image to Total Pixels",
        category="image/upscaling",
        inputs={
            "image": IMAGE,
            "upscale_method": _combo(UPSCALE_METHODS),
            "megapixels": _decimal(1.0, 0.01, 16.0, step=0.01),
            "resolution_steps": _integer(1, 1, 256, advanced=True),
        },
        outputs=("IMAGE",),
        run=nodes.scale_image_to_total_pixels,
        module="comfy_extras.nodes_post_processing",
    ),
    "FluxKontextImageScale": NodeClass(
        title="FluxKontextImageScale",
        category="advanced/conditioning/flux",
        inputs={"image": IMAGE},
        outputs=("IMAGE",),
        run=nodes.scale_image_to_kontext_size,
        module="comfy_extras.nodes_flux",
        description="This node resizes the image to one that is more optimal for flux kontext.",
    ),
    "ImageInvert": NodeClass(
        title="Invert Image Colors",
        category="image/color",
        inputs={"image": IMAGE},
        outputs=("IMAGE",),
        run=nodes.invert_image,
    ),
    "EmptyImage": NodeClass(
        title="EmptyImage",
        category="image",
        inputs={
            "width": _integer(512, 1, MAX_RESOLUTION, step=1),
            "height": _integer(512, 1, MAX_RESOLUTION, step=1),
            "batch_size": _integer(1, 1, 4096),
            "color": _integer(0, 0, 0xFFFFFF, step=1, display="color"),
        },
        outputs=("IMAGE",),
        run=nodes.empty_image,
    ),
    "TextEncodeQwenImageEditPlus": NodeClass(
        title="Text Encode Qwen Image Edit Plus",
        category="model/conditioning/qwen image",
        inputs={
            "clip": Input("CLIP"),
            "prompt": Input("STRING", {"multiline": True, "dynamicPrompts": True}),
            "vae": _optional("VAE"),
            "image1": _optional("IMAGE"),
            "image2": _optional("IMAGE"),
            "image3": _optional("IMAGE"),
        },
        outputs=("CONDITIONING",),
        run=nodes.encode_edit_prompt,
        module="comfy_extras.nodes_qwen",
    ),
    "FluxKontextMultiReferenceLatentMethod": NodeClass(
        title="Edit Model Reference Method",
        category="advanced/conditioning/flux",
        inputs={
            "conditioning": Input("CONDITIONING"),
            "reference_latents_method": _combo(REFERENCE_METHODS, advanced=True),
        },
        outputs=("CONDITIONING",),
        run=nodes.set_reference_method,
        module="comfy_extras.nodes_flux",
    ),
    "VAEEncode": NodeClass(
        title="VAE Encode",
        category="latent",
        inputs={"pixels": IMAGE, "vae": Input("VAE")},
        outputs=("LATENT",),
        run=nodes.encode_image,
    ),
    "EmptySD3LatentImage": NodeClass(
        title="EmptySD3LatentImage",
        category="latent/sd3",
        inputs={
            "width": _integer(1024, 16, MAX_RESOLUTION, step=16),
            "height": _integer(1024, 16, MAX_RESOLUTION, step=16),
            "batch_size": _integer(1, 1, 4096),
        },
        outputs=("LATENT",),
        run=nodes.empty_latent,
        module="comfy_extras.nodes_sd3",
    ),
    "KSampler": NodeClass(
        title="KSampler",
        category="sampling",
        inputs={
            "model": Input("MODEL", {"tooltip": "The model used for denoising the input latent."}),
            "seed": _integer(
                0,
                0,
                MAX_SEED,
                control_after_generate=True,
                tooltip="The random seed used for creating the noise.",
            ),
            "steps": _integer(20, 1, 10000, tooltip="The number of steps used in the denoising process."),
            "cfg": _decimal(
                8.0,
                0.0,
                100.0,
                step=0.1,
                round=0.01,
                tooltip="The Classifier-Free Guidance scale balances creativity and adherence to the prompt. "
                "Higher values result in images more closely matching the prompt however too high values "
                "will negatively impact quality.",
            ),
            "sampler_name": Input(
                SAMPLERS,
                {
                    "tooltip": "The algorithm used when sampling, this can affect the quality, speed, and "
                    "style of the generated output."
                },
            ),
            "scheduler": Input(
                SCHEDULERS,
                {"tooltip": "The scheduler controls how noise is gradually removed to form the image."},
            ),
            "positive": Input(
                "CONDITIONING",
                {"tooltip": "The conditioning describing the attributes you want to include in the image."},
            ),
            "negative": Input(
                "CONDITIONING",
                {"tooltip": "The conditioning describing the attributes you want to exclude from the image."},
            ),
            "latent_image": Input("LATENT", {"tooltip": "The latent image to denoise."}),
            "denoise": _decimal(
                1.0,
                0.0,
                1.0,
                step=0.01,
                tooltip="The amount of denoising applied, lower values will maintain the structure of the "
                "initial image allowing for image to image sampling.",
            ),
        },
        outputs=("LATENT",),
        run=nodes.sample,
        description="Uses the provided model, positive and negative conditioning to denoise "
        "the latent image.",
    ),
    "VAEDecode": NodeClass(
        title="VAE Decode",
        category="latent",
        inputs={
            "samples": Input("LATENT", {"tooltip": "The latent to be decoded."}),
            "vae": Input("VAE", {"tooltip": "The VAE model used for decoding the latent."}),
        },
        outputs=("IMAGE",),
        run=nodes.decode_latent,
        description="Decodes latent images back into pixel space images.",
    ),
    "SaveImage": NodeClass(
        title="Save Image",
        category="image",
        inputs={
            "images": Input("IMAGE", {"tooltip": "The images to save."}),
            "filename_prefix": Input(
                "STRING",
                {
                    "default": "ComfyUI",
                    "tooltip": "The prefix for the file to save. This may include formatting information "
                    "such as %date:yyyy-MM-dd% or %Empty Latent Image.width% to include values from nodes.",
                },
            ),
        },
        outputs=(),
        run=nodes.save_image,
        is_output=True,
        description="Saves the input images to your ComfyUI output directory.",
    ),
    "PreviewImage": NodeClass(
        title="Preview Image",
        category="image",
        inputs={"images": IMAGE},
        outputs=(),
        run=nodes.preview_image,
        is_output=True,
        description="Saves the input images to your ComfyUI output directory.",
    ),
}
