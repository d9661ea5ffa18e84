"""Whatever is read: two thousand mutations of a good file of every kind give a refusal of the library's own, or are read."""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from readers import PREFIX, READERS

from homunculus.bridge.errors import DataError, HomunculusError
from homunculus.lab.datasets import DOCVQA
from homunculus.lab.gaze import aird, cocosearch18
from homunculus.lab.training.triples import read_triples

ROOT = Path(__file__).parents[1]
MUTATIONS = 2000
TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|"[^"\n]{0,80}"|true|false|null|[\[{][\]}]?')
HOSTILE = [
    b"null", b"true", b"-1", b"0", b"1.5", b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e308", b"1e308", b"9" * 400, b"1" + b"0" * 5000,
    b"18446744073709551616", b'""', b'"x"', b'"' + b"n" * 5000 + b'"', b'"\\ud800"', b'"a\\u0000b"', b'"../../etc/passwd"',
    b'"/etc/passwd"',
    b"[]", b"{}", b"[null]", b'{"a": 1}', b"[1, 2, 3, 4]", b"[" * 200_000, b'{"a":' * 50_000, b"'", b'"',
    b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n",
    b"\x00", b"\xe2\x80\xa8", b"inf", b".", b",,,,", b"#", b"PK\x03\x04", b"\x80\x04.",
]  # fmt: skip


def flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def insert(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content))
    content[place:place] = chance.randbytes(chance.randint(1, 9))


def overwrite(content: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(content))
    content[place : place + 8] = chance.choice([bytes(8), b"\xff" * 8, b"\x7f" * 8, chance.randbytes(8)])


def repeat(content: bytearray, chance: random.Random) -> None:
    start, place = chance.randrange(len(content)), chance.randrange(len(content))
    content[place:place] = content[start : start + chance.randint(1, 200)]


def leave_out(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[start : start + chance.randint(1, 60)]


def exchange(content: bytearray, chance: random.Random) -> None:
    """A value of a text for one of another kind, width or encoding."""
    token = TOKEN.search(content, chance.randrange(len(content)))
    if token:
        content[token.start() : token.end()] = chance.choice(HOSTILE)


def rewrite(content: bytearray, chance: random.Random) -> None:
    whole = bytes(content)
    marked, crlf, other = b"\xef\xbb\xbf" + whole, whole.replace(b"\n", b"\r\n"), whole.replace(b",", b";")
    content[:] = chance.choice([marked, crlf, other, whole.swapcase(), b"", b"\n", whole[:10], *HOSTILE])


WAYS: list[Callable[[bytearray, random.Random], None]] = [
    flip, cut, insert, overwrite, repeat, leave_out, exchange, exchange, exchange, exchange, rewrite
]  # fmt: skip


def mutated(whole: bytes, chance: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if content:
            chance.choice(WAYS)(content, chance)
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_in_the_librarys_own_words(tmp_path: Path, name: str) -> None:
    kind = READERS[name]
    path = kind.write(tmp_path)
    whole, chance = path.read_bytes(), random.Random(name)
    kind.read(path)
    refused = 0
    for turn in range(MUTATIONS):
        content = mutated(whole, chance)
        path.write_bytes(content)
        try:
            kind.read(path)
        except HomunculusError as error:
            refused += 1
            text = str(error)
            assert len(text) < 2000, text[:200]
            text.encode()
        except Exception as error:
            pytest.fail(
                f"turn {turn}: {type(error).__name__}: {str(error)[:200]} for {content[:120]!r} ({len(content)} bytes)"
            )
    assert refused > MUTATIONS / 4 or name == "a set's record"
    path.write_bytes(whole)
    kind.read(path)


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    kind = READERS[name]
    path = kind.write(tmp_path)
    path.unlink()
    path.mkdir()
    with suppress(HomunculusError):  # some find no data there, which they say, some nothing to go on from
        kind.read(path)


@pytest.mark.slow
def test_every_reader_is_here() -> None:
    functions = {
        "read_json",
        "read_json_lines",
        "read_rows",
        "read_numbers",
        "read_array",
        "read_tensors",
        "load_weights",
        "open_parquet",
        "read_mat",
        "parsed",
        "content_of",
    }
    found = set()
    for path in [*(ROOT / "homunculus").rglob("*.py"), *(ROOT / "bridge").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            ours = isinstance(node, ast.ImportFrom) and node.module == "homunculus.bridge.files.reading"
            if ours and functions & {alias.name for alias in node.names}:
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.add(".".join(parts).removeprefix(PREFIX))
    # A model's folder has tests of its own; the digests of triples and of fonts are taken after they were read; a page ships
    # with the package.
    others = {"encoder.folder", "lab.pages.run", "lab.training.relevance", "viewer.serving.pages"}
    assert found == {kind.module for kind in READERS.values()} | others


NAMES = ["../out.png", "/etc/hostname", "sub/../../out.png", "link.png", "away/out.png"]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A data set's folder, a picture outside it, and links to it."""
    folder = tmp_path / "data"
    triples = READERS["triples"].write
    folder.mkdir()
    triples(folder)
    (tmp_path / "out.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    (folder / "away").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["image", "example"])
def test_paths_that_leave_the_folder_are_refused(house: Path, name: str, key: str) -> None:
    entry = {"image": "a.png", "query": "red", "box": [0, 0, 9, 9], key: name}
    (house / "triples.jsonl").write_text(json.dumps(entry))
    with pytest.raises(
        DataError, match=r"line 1: '.*' leads out of .*data, to '.*'; put it there, or name the folder .*: trusted="
    ):
        read_triples(house)
    if name != "/etc/hostname":
        assert len(read_triples(house, trusted=[house.parent])) == 1
    with pytest.raises(DataError, match="leads out of"):
        read_triples(house, trusted=[house.parent / "dat", house / "sub"])


def test_paths_that_stay_are_taken(house: Path) -> None:
    for name in ("a.png", "./a.png", "sub/../a.png", str(house / "a.png")):
        (house / "triples.jsonl").write_text(json.dumps({"image": name, "query": "red", "box": [0, 0, 9, 9]}))
        assert len(read_triples(house)) == 1
    (house.parent / "other").symlink_to(house)
    assert len(read_triples(house.parent / "other")) == 1


@pytest.mark.parametrize("name", NAMES)
def test_pictures_of_questions_stay_in_the_folder(house: Path, name: str) -> None:
    path = READERS["DocVQA"].write(house)
    document = json.loads(path.read_text())
    document["data"][1]["image"] = name
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"question 101: '.*' leads out of"):
        DOCVQA.load(house, "val")
    assert len(DOCVQA.load(house, "val", trusted=[house.parent, "/etc"]).questions) == 4


def test_links_of_gaze_data_stay_in_the_folder(tmp_path: Path) -> None:
    for load, write, linked in (
        (aird.load, gaze_set("AiR-D's answers"), "stimuli"),
        (cocosearch18.load, gaze_set("COCO-Search18"), "images/000000000.jpg"),
    ):
        folder = tmp_path / load.__module__
        folder.mkdir()
        write(folder)
        load(folder)
        (folder / linked).rename(tmp_path / "elsewhere")
        (folder / linked).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match="leads out of"):
            load(folder)
        assert load(folder, trusted=[tmp_path]).scanpaths
        (tmp_path / "elsewhere").rename(tmp_path / f"done {load.__module__}")


def gaze_set(name: str) -> Callable[[Path], Path]:
    return READERS[name].write
