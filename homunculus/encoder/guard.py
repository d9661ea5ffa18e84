"""transformers, quiet, and with whatever it raises about a model turned into one error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from homunculus.bridge.errors import HomunculusError, ModelError

ATTENTIONS = ("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")


def library() -> Any:
    """The transformers package. Raises ModelError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise ModelError(f"pretrained models need transformers ({error}); run: pip install transformers") from None
    return transformers


def check_options(dtype: Any, attention: Any) -> None:
    """Raises ModelError for a type that is no float of torch, or an attention that does not exist or is not installed."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point or dtype.itemsize < 2:
        raise ModelError(f"dtype is {dtype!r}; expected torch.float32, torch.bfloat16, torch.float16 or torch.float64")
    if attention not in ATTENTIONS:
        raise ModelError(
            f"attention is {attention!r}; expected one of {', '.join(ATTENTIONS)}, and 'sdpa' works everywhere"
        )
    from transformers import utils as own

    utils: Any = own
    for name, installed in (
        ("flash_attention_2", utils.is_flash_attn_2_available),
        ("flash_attention_3", utils.is_flash_attn_3_available),
    ):
        if attention == name and not installed():
            raise ModelError(
                f"attention {name!r} is not installed here; take 'sdpa', or install flash-attn for this GPU"
            )


@contextmanager
def refusing(name: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what transformers raises about a model into a ModelError that says what to do.

    What can go wrong in a folder that others wrote has no list: strict configurations, tokenizers and safetensors raise kinds of
    their own, a panic of Rust's is not even an Exception. So this takes every error but the library's own.
    """
    try:
        yield
    except HomunculusError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        here = os.path.exists(name)
        where = "could not be loaded" if here else "is no folder here and could not be fetched"
        raise ModelError(
            f"{name} {where} ({reason}); where there is a network, run: hf download {'NAME' if here else name} "
            "--local-dir FOLDER, and give FOLDER"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' load reports and progress bars; what is loaded lies on the CPU, whatever torch's default device is."""
    from transformers import utils

    logging: Any = utils.logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.device("cpu"):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
