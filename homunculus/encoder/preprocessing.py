"""What a model's own preprocessing does to the values of a picture, measured on the processor itself."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import IMAGENET
from homunculus.encoder.folder import Folder
from homunculus.encoder.guard import library, quiet, refusing

Values = tuple[list[float], list[float]]
FILE, NESTED, OF_CLIPS = "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"
PROBES = ((0, 0, 0), (255, 255, 255), (51, 119, 204))
# Processors whose classes need torchvision or have an output of their own, those that take the same steps, and what they assume; by the
# model types, too, of folders that do not name theirs.
SAME_STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "DINOv3ViTImageProcessor": (
        "ViTImageProcessorPil",
        {"image_mean": list(IMAGENET[0]), "image_std": list(IMAGENET[1])},
    ),
    "VideoLlavaImageProcessor": ("CLIPImageProcessorPil", {}),
}
# The same for those that cut a picture into tiles of their own, of which only what is done to values is the same.
SAME_VALUES: dict[str, tuple[str, dict[str, Any]]] = {
    "Cohere2VisionImageProcessor": ("GotOcr2ImageProcessorPil", {}),
}
KINDS = {
    "dinov3_vit": "DINOv3ViTImageProcessor",
    "video_llava": "VideoLlavaImageProcessor",
    "cohere2_vision": "Cohere2VisionImageProcessor",
}
CLOSE = 1e-5  # of the range that the processor makes of black and white


def normalisation(folder: Folder, config: Any) -> Values | None:
    """mean and std with which (x - mean) / std, x in 0..1, is what the folder's processor makes of bytes; None where it has none.

    Measured: black, white and a colour go through it at their own size. So whatever its files say in whatever form (a factor, an
    offset, numbers for lists, no normalisation, the defaults of its class) is what the sampler does. A folder that has a processor of
    clips alone, as V-JEPA 2's, is taken at its word.
    Raises ModelError for a processor that does anything else to values, or that transformers cannot make here.
    """
    if declared(folder) is None:
        return of_clips(folder)
    with refusing(folder.path), quiet():
        processor = made(folder, config, values=True)
        black, white, color = (measured(processor, probe) for probe in PROBES)
    spread = white - black
    expected = black + spread * torch.tensor(PROBES[2], dtype=torch.float64, device="cpu") / 255
    if not all(bool(each.isfinite().all()) for each in (black, white)) or bool((spread <= 0).any()):
        raise ModelError(
            f"the image processor of {folder.name} makes {black.tolist()} of black and {white.tolist()} of white; {REMEDY}"
        )
    if bool(((color - expected).abs() > CLOSE * spread).any()):
        raise ModelError(
            f"the image processor of {folder.name} ({type(processor).__name__}) does more to values than scale and shift each "
            f"channel: of {PROBES[2]} it makes {color.tolist()}, not {expected.tolist()}; {REMEDY}"
        )
    mean, std = -black / spread, 1 / spread
    told = stated(processor)
    if told is not None and all(
        np.allclose(one, other, atol=CLOSE, rtol=CLOSE) for one, other in zip(told, (mean, std), strict=True)
    ):
        return told  # the same, without the rounding of a measurement
    return mean.tolist(), std.tolist()


def stated(processor: Any) -> Values | None:
    """mean and std of a processor that multiplies by a factor and normalises, by its attributes; None where they are no numbers."""
    try:
        factor = 255 * float(processor.rescale_factor) if processor.do_rescale else 255.0
        parts = (processor.image_mean, processor.image_std) if processor.do_normalize else (0.0, 1.0)
        mean, std = ((np.broadcast_to(np.asarray(part, float), 3) / factor).tolist() for part in parts)
    except (AttributeError, TypeError, ValueError):
        return None
    return mean, std


def of_clips(folder: Folder) -> Values | None:
    """mean and std that the settings of its processor of clips state; None where they state none, so that they are its class's own.

    Such processors need torchvision. Raises ModelError for numbers that nothing can be normalised with.
    """
    settings = folder.settings.get(OF_CLIPS, {})
    if not {"image_mean", "image_std"} <= set(settings):
        return None
    usual = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    told = stated(SimpleNamespace(**usual | {key: value for key, value in settings.items() if value is not None}))
    if told is None or not np.isfinite(told).all() or min(told[1]) <= 0:
        raise ModelError(
            f"{folder.path / OF_CLIPS} has image_mean {settings['image_mean']!r:.60} and image_std {settings['image_std']!r:.60}; expected "
            "three numbers each, the latter above 0: correct it, or delete it to have those of the model's family"
        )
    return told


REMEDY = f"correct its {FILE}, or delete it to have the mean and deviation of the model's family"


def declared(folder: Folder) -> dict[str, Any] | None:
    """The settings that transformers takes: those nested in the processor's come first. Raises ModelError where they are no object."""
    found: Any = folder.settings.get(NESTED, {}).get("image_processor")
    if found is None:
        found = folder.settings.get(FILE)
    if found is not None and not isinstance(found, dict):
        raise ModelError(f"{folder.path / NESTED} has an image_processor that is a {type(found).__name__}; {REMEDY}")
    return found


def made(folder: Folder, config: Any, *, values: bool = False) -> Any:
    """The folder's image processor, without torchvision.

    values: one may do that does the same to values alone. Raises ModelError where the processor needs torchvision, which is not there.
    """
    transformers, options = library(), declared(folder) or {}
    kind = str(options.get("image_processor_type") or KINDS.get(config.model_type, "")).removesuffix("Fast")
    if kind in SAME_STEPS or (values and kind in SAME_VALUES):
        name, defaults = (SAME_VALUES if kind in SAME_VALUES else SAME_STEPS)[kind]
        return getattr(transformers, name).from_dict(defaults | options)
    if kind in SAME_VALUES and find_spec("torchvision") is None:
        raise ModelError(
            f"the image processor of {folder.name} is a {kind}, which needs torchvision; install that to show whole images"
        )
    return transformers.AutoImageProcessor.from_pretrained(
        folder.path, config=None if kind else config, backend="pil", trust_remote_code=False, local_files_only=True
    )


def measured(processor: Any, color: tuple[int, int, int]) -> Tensor:
    """float64 [3] what a processor makes of a picture of one colour at its own size. Raises ModelError for an output of another form."""
    cell = [getattr(processor, name, 1) for name in ("patch_size", "merge_size")]
    patch, merge = (side if isinstance(side, int) and 1 <= side <= 64 else 16 for side in cell)
    side = 4 * patch * merge if patch > 1 else 64
    picture = np.full((side, side, 3), color, np.uint8)
    steps = inspect.signature(processor.preprocess).parameters
    padding = {"do_pad": False} if "do_pad" in steps or "kwargs" in steps else {}  # a processor of clips warns of it
    out = processor(
        picture,
        do_resize=False,
        do_center_crop=False,
        input_data_format="channels_last",
        return_tensors="pt",
        **padding,
    )
    pixels: Tensor = out["pixel_values"].double()
    if pixels.ndim in (4, 5) and pixels.shape[-3] == 3:  # one view of the picture, or several
        view = pixels.flatten(0, -4)[0]
        return view[:, view.shape[1] // 2, view.shape[2] // 2]
    if pixels.ndim == 3 and pixels.shape[2] % 3 == 0:  # SigLIP 2: rows of patches, colours last
        return pixels[0, 0].reshape(-1, 3)[0]
    if pixels.ndim == 2 and pixels.shape[1] % 3 == 0:  # Qwen2.5-VL: rows of patches, colours first
        return pixels[0].reshape(3, -1)[:, 0]
    raise ModelError(
        f"{type(processor).__name__} makes pixels {tuple(pixels.shape)}; expected one picture of three channels; {REMEDY}"
    )
