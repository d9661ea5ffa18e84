"""The page of a run: what it says, that nothing in it runs or is fetched, and which errors have a picture."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import homunculus as hm
from homunculus.bridge.files.journal import Journal
from homunculus.loop.run.manifest import Manifest
from homunculus.loop.run.report import MOST_ERRORS, Called, write_report
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings

HOSTILE = "<script>alert('1')<&\u202e\".png"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[str]:
        return [str(told["src"]) for tag, told in self.tags if tag == "img"]


def error(row: int, kind: str, source: str, message: str = "why") -> dict[str, Any]:
    return {"row": row, "source": source, "page": 0, "kind": kind, "message": message}


def page(out: Path, rows: list[RunRow], errors: list[dict[str, Any]], called: Called, **settings: Any) -> Page:
    manifest = replace(Manifest.of(rows, RunSettings(**settings), 1000), unit={"backend": "torch", "renderer": "none"})
    entry = {"id": "part-00000", "rows": len(rows), "looked": len(rows), "seconds": 2.5, "errors": errors}
    return Page(write_report(out, manifest, [entry], called))


@pytest.mark.slow
def test_a_run_leaves_a_page_that_tells_it(tmp_path: Path) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (80, 60), colour).save(pictures / name)
    (pictures / "c.png").write_bytes(b"no picture")
    out = tmp_path / "it's <b>"
    hm.run(pictures, out, query="red", workers=0, budget=20, backend="torch", pictures=2)
    found = Page(out / "report.html")
    assert "A run over 3 rows" in found.text
    assert "looked at 3 rows" in found.text
    assert "ImageReadError: 1" in found.text
    assert f"{pictures / 'a.png'}, asked for “red”" in found.text
    assert found.pictures == ["pictures/row-000000.jpg"]  # of rows 0 and 2, the broken one
    with Image.open(out / found.pictures[0]) as drawn:
        assert drawn.width > drawn.height
    program = found.text[found.text.index("import homunculus") : found.text.index("What was asked")]
    told: list[str] = []
    exec(program, {"print": lambda *parts: told.append(" ".join(map(str, parts)))})
    assert len(told) == 2
    assert all("torch.Size([20, 3, 16, 16])" in line for line in told)
    again = hm.run(pictures, out, query="red", workers=0, budget=20, backend="torch")
    assert again.looked == 0
    assert "looked at 0 rows" in Page(out / "report.html").text


@pytest.mark.parametrize("name", [HOSTILE, "caf\u00e9 \udcff.png", "a\nb\x07.png"])
def test_names_are_text_whatever_they_hold(tmp_path: Path, name: str) -> None:
    row = RunRow(str(tmp_path / name), query=name, id=name)
    called = Called({"inputs": name, "query": None}, notes=[name], ended=name)
    found = page(tmp_path, [row], [error(0, name, name, name)], called)
    plain = "html head meta title style body h1 h2 h3 p table tr th td span pre code"
    assert {tag for tag, _ in found.tags} <= {*plain.split()}
    assert not [told for _, told in found.tags if {"href", "src", "onerror", "onload"} & set(told)]
    policy = [told["content"] for tag, told in found.tags if tag == "meta" and "http-equiv" in told]
    assert policy == ["default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'"]
    assert "http" not in found.text
    if name == HOSTILE:
        assert "<script>alert('1')<&\\u202e\".png" in found.text


@pytest.mark.slow
def test_what_was_read_is_shown_beside_its_error_and_what_was_not_is_not(tmp_path: Path) -> None:
    kinds = ["PlanError", "ImageReadError", "ProcessError", "PlanError", "PlanError", "PlanError"]
    rows = [RunRow(str(tmp_path / f"{place}.png")) for place in range(len(kinds))]
    for row in rows[:-2]:
        Image.new("RGB", (600, 300), "red").save(row.source)
    rows[-2:] = [RunRow(str(tmp_path / "gone.png")), rows[0]]
    errors = [error(place, kind, rows[place].source) for place, kind in enumerate(kinds)]
    found = page(tmp_path / "out", rows, errors, Called(pictures=2))
    assert len(found.pictures) == 2  # of rows 0 and 3, and no more are wanted
    for data in found.pictures:
        assert data.startswith("data:image/jpeg;base64,")
        with Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))) as small:
            assert small.size == (192, 96)
            assert small.getpixel((50, 50))[0] > 240
    assert len(page(tmp_path / "out", rows, errors, Called(pictures=9)).pictures) == 3
    assert page(tmp_path / "out", rows, errors, Called()).pictures == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html"]


def test_many_errors_are_counted_the_commonest_kind_first(tmp_path: Path) -> None:
    rows = [RunRow(f"{place}.png") for place in range(MOST_ERRORS + 7)]
    errors = [error(place, "ImageReadError", row.source) for place, row in enumerate(rows[:-1])]
    errors.append(error(len(rows) - 1, "QueryError", rows[-1].source))
    found = page(tmp_path, rows, errors, Called({"inputs": ["x" * 1000]}, looked=10, seconds=4.0), allocator="grid")
    assert found.text.index("ImageReadError: 106") < found.text.index("QueryError: 1")
    assert "and 6 more" in found.text
    assert f"{MOST_ERRORS - 1}.png" in found.text
    assert f"{MOST_ERRORS}.png" not in found.text.split("QueryError")[0]
    assert "looked at 10 rows in 4.0 s, 2.5 a second" in found.text
    assert "allocatorgrid" in found.text.replace("\n", "")
    assert "fixations" not in found.text  # as by default
    assert (tmp_path / "report.html").stat().st_size < 50_000


@pytest.mark.slow
def test_an_early_end_is_told_once_something_was_looked_at(tmp_path: Path) -> None:
    pictures, out = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 40), "red").save(pictures / name)

    def stop(progress: Any) -> None:
        raise RuntimeError("<that is all>")

    with pytest.raises(RuntimeError, match="that is all"):
        hm.run(pictures, out, workers=0, budget=20, backend="torch", shard_rows=1, tell=stop)
    found = Page(out / "report.html")
    assert "RuntimeError: <that is all>" in found.text
    assert "1 of 2, in 1 file" in found.text
    hm.run(pictures, out, workers=0, budget=20, backend="torch", shard_rows=1)
    assert "that is all" not in Page(out / "report.html").text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux alone")
@pytest.mark.parametrize("format", ["safetensors", "parquet"])
def test_a_file_whose_name_is_no_text_is_looked_at_and_read_back(format: str, tmp_path: Path) -> None:
    pictures, out = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    with open(bytes(pictures) + b"/\xff.png", "wb") as file:
        Image.new("RGB", (40, 40), "red").save(file, "PNG")
    for looked in (1, 0):
        result = hm.run(pictures, out, workers=0, budget=20, backend="torch", pictures=1, format=format)
        assert (result.rows, result.looked, result.errors) == (1, looked, [])
    (row,) = hm.read_tokens(out)
    assert os.fsencode(row.source).endswith(b"/\xff.png")
    assert "/\\udcff.png" in Page(out / "report.html").text


def test_a_journal_takes_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = "\udcff.png"
    Journal(tmp_path / "journal.jsonl", {"run": 1}).append({"id": "a", "source": name})
    assert Journal(tmp_path / "journal.jsonl", {"run": 1}).entries["a"]["source"] == name
    assert json.loads((tmp_path / "journal.jsonl").read_text("ascii").splitlines()[-1])["source"] == name
