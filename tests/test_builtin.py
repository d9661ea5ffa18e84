"""The model that ships: it knows its words, says what it was trained on, and looks where the value stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import homunculus as hm
from homunculus.bridge.errors import QueryError
from homunculus.cli import app
from homunculus.encoder.reader import Reader
from homunculus.lab.needle.needle import make_page
from homunculus.loop import builtin


@pytest.mark.parametrize(
    ("query", "color", "shape"),
    [
        ("red triangle", "red", "triangle"),
        ("the Blue Squares, top left", "blue", "square"),
        ("crosses", "", "cross"),
        ("a star of purple", "purple", "star"),
        ("the total in the bottom right", "", ""),
        ("orange", "orange", ""),
    ],
)
def test_words(query: str, color: str, shape: str) -> None:
    assert builtin.named(query) == (color, shape)
    assert builtin.knows(query) == bool(shape)


def test_weights_ship_small_and_say_what_they_were_trained_on() -> None:
    folder = Path(builtin.__file__).parents[1] / "encoder" / "data"
    assert (folder / "needle.safetensors").stat().st_size < 8e6
    assert (folder / "words.safetensors").stat().st_size < 2e4
    assert "trained on generated pages alone" in builtin.about()
    notes, trainings = Reader.load().notes, []
    while notes:
        trainings.append((notes["preset"], notes["steps"], notes["seed"]))
        notes = notes.get("start", {})
    assert trainings == [("longer", 2700, 2), ("longer", 6000, 1), ("cpu", 8000, 0)]


@pytest.mark.slow
@pytest.mark.gl
def test_it_looks_at_the_value(gl_unit: object) -> None:
    """The first fixation, of three questions on each of forty pages it has not seen; chance is under 1 in 100."""
    hits = asked = 0
    with builtin.builtin(backend="gl") as eye:
        for seed in range(40):
            page = make_page(1024, 900 + seed)
            items = page.items[:3]
            looks = eye.looks(torch.from_numpy(page.image), [item.name for item in items], 1)
            for item, seen in zip(items, looks, strict=True):
                x, y = seen.fixations[0]
                left, top, right, bottom = item.value_box
                hits += left - 24 <= x <= right + 24 and top - 24 <= y <= bottom + 24
                asked += 1
    assert hits / asked >= LEAST_HITS, f"{hits} of {asked}"


LEAST_HITS = 0.65


@pytest.mark.slow
@pytest.mark.gl
def test_the_command_uses_it_where_it_knows_the_words(gl_unit: object, tmp_path: Path) -> None:
    page = make_page(512, 901)
    Image.fromarray(page.image).save(tmp_path / "page.png")
    command = ["look", str(tmp_path / "page.png"), "--out", str(tmp_path), "--backend", "gl", "--query"]
    known = CliRunner().invoke(app, [*command, page.items[0].name])
    assert known.exit_code == 0, known.output
    said = (tmp_path / "look.json").read_text()
    assert "trained on generated pages alone" in said
    assert (tmp_path / "tokens.safetensors").exists()
    unknown = CliRunner().invoke(app, [*command, "the total in the bottom right"])
    assert unknown.exit_code == 0, unknown.output
    assert "trained on generated pages alone" not in (tmp_path / "look.json").read_text()


def test_its_encoder_is_not_to_be_replaced() -> None:
    with pytest.raises(QueryError, match=r"encoder are the built-in model's; leave them out, or use Homunculus"):
        builtin.builtin(encoder=None)


def test_a_query_that_names_nothing_it_knows_moves_nothing() -> None:
    words = builtin.MarkWords(Reader.load())
    embedding = words.encode(["something else", "red circle"]).embedding
    assert not embedding[0].any()
    assert embedding[1].any()
    assert isinstance(builtin.builtin(backend="torch"), hm.Homunculus)
