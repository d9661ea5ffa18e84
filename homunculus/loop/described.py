"""What a model is told of the functions that it may call."""

from __future__ import annotations

from typing import Any

BUDGET, MOST = 1024, 4096  # tokens: of 16 px these are a picture of 512 x 512, and of 1024 x 1024
_LOOK = (
    "Look at a picture as closely as you need: at all of it, at a region of it, or for some words. Gives PNGs of what was seen and, as "
    "JSON, the picture's real size, which box of it each PNG shows, and at what scale (PNG pixels over picture pixels; 1 is native). All "
    "coordinates are pixels of the picture at its full size, not of a PNG. Look at all of it first; then at regions: the smaller a "
    "region, the finer it is shown."
)
_PARAMETERS: dict[str, dict[str, Any]] = {
    "image": {"type": "string", "description": "The picture's name, as list_pictures gives it."},
    "region": {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 4,
        "maxItems": 4,
        "description": "[x1, y1, x2, y2], left, top, right, bottom, in pixels of the picture at its full size.",
    },
    "words": {
        "type": "string",
        "description": "Instead of a region: what to look for, such as 'invoice number' or 'red, bottom right'.",
    },
    "page": {"type": "integer", "minimum": 0, "description": "Which page or frame of a file of several, from 0."},
}


def look_described(budget: int = BUDGET, most: int = MOST) -> dict[str, Any]:
    """Of `look`: name, description, parameters as a JSON schema. budget, most: tokens of a call by default, and at most."""
    spending = {
        "type": "integer",
        "minimum": 1,
        "maximum": most,
        "description": f"Tokens of 16 x 16 px to spend, {budget} by default. Finding words by reading takes up to 3 times as many besides.",
    }
    return _described("look", _LOOK, _PARAMETERS | {"budget": spending}, ["image"])


def list_described() -> dict[str, Any]:
    """Of `list_pictures`."""
    contains = {"type": "string", "description": "Only names that hold this, whatever its case."}
    told = "The names of the pictures that can be looked at, and how many more there are."
    return _described("list_pictures", told, {"contains": contains}, [])


def _described(name: str, told: str, properties: dict[str, dict[str, Any]], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": told, "parameters": schema}
