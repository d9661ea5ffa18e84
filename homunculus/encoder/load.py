"""Vision models from disk or the hub, through transformers, without its notices and without weights it would make up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import Anatomy
from homunculus.encoder.families import fed, registry
from homunculus.encoder.folder import Folder, open_folder
from homunculus.encoder.guard import check_options, library, quiet, refusing
from homunculus.encoder.preprocessing import Values, made, normalisation
from homunculus.encoder.weights import check_layers, check_numbers, check_whole, held, tensor_names

# The sets of files of which one makes a vocabulary, by the kind of a whole model; other kinds may have any.
VOCABULARIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "clip": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "siglip": (("tokenizer.json",), ("spiece.model",)),
    "siglip2": (("tokenizer.json",), ("tokenizer.model",)),
    "llava": (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt")),
    "qwen2_vl": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "qwen2_5_vl": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "qwen3_vl": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "qwen3_vl_moe": (("tokenizer.json",), ("vocab.json", "merges.txt")),
}


def opened(name: str | Path, local_files_only: bool) -> Folder:
    """The folder of a name, where transformers is installed. Raises ModelError."""
    library()
    return open_folder(name, local_files_only=local_files_only)


def configuration(folder: Folder) -> Any:
    """The configuration of transformers, of sizes that have been checked. Raises ModelError."""
    settings = folder.config()
    with refusing(folder.path), quiet():
        return library().CONFIG_MAPPING[folder.kind].from_dict(settings)


def model(name: str | Path, *, dtype: torch.dtype, attention: str, local_files_only: bool) -> Any:
    """The whole model in eval mode, or where that as a whole is not fed, its vision tower alone. Raises ModelError."""
    library()
    check_options(dtype, attention)
    folder = opened(name, local_files_only)
    config = configuration(folder)
    within = getattr(getattr(config, "vision_config", None), "model_type", "")
    if folder.kind in registry or within not in registry:
        optional = fed(folder.kind).anatomy.optional
        return built(folder, tower_class(config), config, optional, dtype=dtype, attention=attention)
    config, anatomy = config.vision_config, fed(within).anatomy
    loader = tower_class(config)
    with refusing(folder.path), quiet():
        renamed = {f"^{re.escape(prefix_of(folder, loader, config, anatomy))}": ""}
    return built(folder, loader, config, anatomy.optional, dtype=dtype, attention=attention, key_mapping=renamed)


def prefix_of(folder: Folder, loader: Any, config: Any, anatomy: Anatomy) -> str:
    """What stands before the names of a tower's weights in the files of a larger model. Raises ModelError where it is not there once."""
    projection, names = f"{anatomy.projection}.weight", tensor_names(folder)
    with torch.device("meta"):
        own = next(name for name, _ in loader._from_config(config).named_parameters() if name.endswith(projection))
    found = [name.removesuffix(own) for name in names if f".{name}".endswith(f".{own}")]
    if len(found) != 1:
        raise ModelError(
            f"the weights of {folder.name} have {len(found)} vision towers ({own}), not 1; load the tower with transformers, and save "
            "it alone"
        )
    return found[0]


def tower_class(config: Any) -> Any:
    """The class of transformers whose configuration this is, AutoModel's where that knows it. Raises ModelError where there is none."""
    transformers = library()
    if type(config) in transformers.MODEL_MAPPING:
        return transformers.MODEL_MAPPING[type(config)]
    home = import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    found = [
        each
        for each in vars(home).values()
        if isinstance(each, type)
        and issubclass(each, transformers.PreTrainedModel)
        and getattr(each, "config_class", None) is type(config)
    ]
    named = [each for each in found if each.__name__.endswith(("VisionModel", "VisionTransformer", "PretrainedModel"))]
    if not found:
        raise ModelError(f"transformers has no model of a {config.model_type!r} alone; give the whole model")
    return (named or found)[-1]


def built(
    folder: Folder,
    loader: Any,
    config: Any,
    optional: Sequence[str] = (),
    *,
    dtype: torch.dtype,
    attention: str | dict[str, str],
    **options: Any,
) -> Any:
    """A whole model by a class of transformers, in eval mode; without those of its optional modules that its weights lack.

    attention: `sdpa` is eager where the class knows no other, as BLIP's. Raises ModelError where they lack anything else.
    """
    weights = held(folder)
    check_layers(folder, folder.config(), weights)
    if attention == "sdpa" and not getattr(loader, "_supports_sdpa", True):
        attention = "eager"
    with refusing(folder.path), quiet():
        check_numbers(folder, loader, config, weights)
        loaded, report = loader.from_pretrained(
            folder.path,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    missing = sorted(report["missing_keys"])
    for part in {key.split(".")[0] for key in missing} & set(optional):
        setattr(loaded, part, None)
    check_whole(folder, [key for key in missing if key.split(".")[0] not in optional])
    return loaded.eval()


def values(name: str | Path, *, local_files_only: bool) -> Values | tuple[None, None]:
    """mean and std of the model's own preprocessing, None where the folder says nothing of it. Raises ModelError."""
    folder = opened(name, local_files_only)
    return normalisation(folder, configuration(folder)) or (None, None)


def tokenizer(name: str | Path, *, local_files_only: bool) -> Any:
    """The tokenizer of a folder. Raises ModelError, with the files, where there is none: transformers would make an empty one."""
    folder = opened(name, local_files_only)
    sets = VOCABULARIES.get(
        folder.kind, (*VOCABULARIES["clip"], ("tokenizer.model",), ("spiece.model",), ("vocab.txt",))
    )
    if not any(folder.has(*files) for files in sets):
        wanted = ", or ".join(" and ".join(files) for files in sets)
        raise ModelError(f"{name} has no vocabulary for its texts: it needs {wanted}; copy the folder again, whole")
    with refusing(folder.path), quiet():
        found = library().AutoTokenizer.from_pretrained(
            folder.path, config=configuration(folder), trust_remote_code=False, local_files_only=True
        )
        words = set(found.get_vocab()) - set(found.all_special_tokens)
    if not words:
        raise ModelError(
            f"the tokenizer of {name} knows no word, so all texts would be one; copy the folder again, whole"
        )
    return found


def processor(name: str | Path, *, local_files_only: bool) -> Any:
    """What the model's authors do to a whole image, without torchvision. Raises ModelError where the folder does not say."""
    folder = opened(name, local_files_only)
    if normalisation(folder, config := configuration(folder)) is None:
        raise ModelError(
            f"{name} has no image processor: it needs preprocessor_config.json; copy the folder again, whole"
        )
    with refusing(folder.path), quiet():
        return made(folder, config)
