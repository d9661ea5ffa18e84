"""Every kind of vision model of the installed transformers: fed, answering, or refused with the reason, as docs/models.md says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import homunculus as hm

pytest.importorskip("transformers")

import supported
import transformers
from tiny_models import ALIKE, CLIPS, FAMILIES

from homunculus.encoder.families import registry as encoders
from homunculus.language import Answerer

# Of every kind its name, how it is fed or why not, and whether it answers or why not, as the page says.
LINES = [line for line in supported.PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
TABLE = [tuple(cell.strip() for cell in line.replace("`", "").strip("|").split("|")) for line in LINES]
TRIED = {*FAMILIES, *ALIKE, *CLIPS}


def test_the_page_is_what_the_code_does() -> None:
    assert supported.PAGE.read_text("utf-8") == supported.page(), "run: python tests/supported.py"


def test_enough_of_them_are_fed_and_answer() -> None:
    own = {encoders[kind].anatomy.name for kind in encoders}
    assert len(own & {kind for kind, how, _ in TABLE if how.startswith("**fed**")}) >= 25
    assert sum(answers == "**answers**" for _, _, answers in TABLE) >= 10


def test_every_kind_that_is_fed_was_tried() -> None:
    untried = {kind.anatomy.name for kind in encoders.values()} - TRIED - {"homunculus_small"}
    assert {name for name in untried if not TRIED & set(encoders[name].anatomy.types)} == set()


@pytest.mark.slow
def test_no_kind_ends_in_a_raw_error(tmp_path: Path) -> None:
    """A folder of each kind, without weights: one that is fed or answers gets as far as those."""
    for kind, how, answers in TABLE:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), "utf-8")
        calls = [(hm.FoveatedViT.from_pretrained, how), *([(Answerer.from_pretrained, answers)] if answers else [])]
        for call, told in calls:
            with pytest.raises(hm.ModelError) as error:
                call(tmp_path)
            assert ("has no model.safetensors" in str(error.value)) == told.startswith("**"), (kind, str(error.value))


def test_the_range_of_transformers_is_the_one_that_was_tried() -> None:
    """It tells when the newest moves: then everything is tried anew, the page is written again, and the ceiling goes up."""
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    asked = project["optional-dependencies"]["models"]
    assert any(each.endswith(f",<{major}.{minor + 1}") for each in asked), (
        f"transformers {transformers.__version__} is beyond what pyproject.toml allows ({asked}): run make test-newest, then "
        "python tests/supported.py, and raise the ceiling"
    )
