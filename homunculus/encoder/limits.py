"""What the sizes in a model's configuration may be, so that nothing absurd is built before it is refused."""

from __future__ import annotations

from typing import Any

from homunculus.bridge.errors import ModelError

WIDTHS = (1, 2**17)
LAYERS = (1, 1024)
HEADS = (1, 4096)
PIXELS = (1, 2**15)
# The least and the most that a key may be, at any depth; None is left to transformers' own default.
SIZES: dict[str, tuple[int, int]] = {
    "hidden_size": WIDTHS, "intermediate_size": (1, 2**20), "projection_dim": WIDTHS, "out_hidden_size": WIDTHS,
    "head_dim": (1, 2**14), "num_hidden_layers": LAYERS, "depth": LAYERS, "num_attention_heads": HEADS, "num_heads": HEADS,
    "num_key_value_heads": HEADS, "patch_size": (1, 1024), "image_size": PIXELS, "window_size": PIXELS,
    "num_channels": (3, 3), "in_channels": (3, 3), "num_patches": (1, 2**22), "num_register_tokens": (0, 4096),
    "spatial_merge_size": (1, 64), "temporal_patch_size": (1, 16), "vocab_size": (1, 2**24),
    "max_position_embeddings": (1, 2**27), "num_labels": (0, 2**20), "mlp_ratio": (0, 1024),
}  # fmt: skip
SQUARES = ("patch_size", "image_size")
DEEPEST = 16


def checked(config: dict[str, Any], where: str, depth: int = 0) -> dict[str, Any]:
    """A copy of a configuration whose sizes are whole numbers within `SIZES`, squares given as pairs made one number.

    where: names it in messages. Raises ModelError for a size of another type or out of range, sides that differ, heads that do not
    divide what they share, and objects nested deeper than any model's.
    """
    if depth > DEEPEST:
        raise ModelError(
            f"{where} is nested more than {DEEPEST} deep; no model's configuration is: copy it again, whole"
        )
    found = {}
    for key, value in config.items():
        if key in SIZES:
            found[key] = size(key, value, where)
        else:
            found[key] = checked(value, f"{where}, {key}", depth + 1) if isinstance(value, dict) else value
    check_heads(found, where)
    return found


def size(key: str, value: Any, where: str) -> Any:
    """One size. Raises ModelError, as `checked` says."""
    if value is None:
        return None
    if key in SQUARES and isinstance(value, list) and len(value) == 2:
        if value[0] != value[1]:
            raise ModelError(
                f"{where} has {key} {value}; patches and training images must be square here, give a model with such"
            )
        value = value[0]
    least, most = SIZES[key]
    whole = isinstance(value, int) or (key == "mlp_ratio" and isinstance(value, float))
    if isinstance(value, bool) or not whole or not least <= value <= most:
        among = "3" if least == most else f"a whole number from {least} to {most}"
        raise ModelError(f"{where} has {key} {str(value)[:60]!r}; expected {among}: copy the folder again, whole")
    return value


def check_heads(config: dict[str, Any], where: str) -> None:
    """Raises ModelError where heads do not divide the width, or groups of heads the heads."""
    for whole, part in (
        ("hidden_size", "num_attention_heads"),
        ("hidden_size", "num_heads"),
        ("num_attention_heads", "num_key_value_heads"),
    ):
        total, count = config.get(whole), config.get(part)
        if whole == "hidden_size" and config.get("head_dim") is not None:
            continue
        if total is not None and count is not None and total % count:
            raise ModelError(
                f"{where} has {whole} {total}, which {part} {count} does not divide; copy the folder again, whole"
            )
