"""The page of a run, for whoever opens its folder later: what was asked, what came of it, and how it is read."""

from __future__ import annotations

import base64
import io
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from homunculus.bridge.files import replaced
from homunculus.bridge.files.reading import shown
from homunculus.loop.run.inputs import picture_of
from homunculus.loop.run.manifest import Manifest
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.worker import PICTURE, PICTURES

NAME = "report.html"
MOST_ERRORS = 100  # of a kind, in the table; the others are counted
MOST_LETTERS = 300  # of an option
ERROR_PX = 192  # the longer side of the picture beside an error
# Nothing could be read, or a process died in reading: there is no picture, or none that this process should try to have.
UNREAD = ("ImageError", "ImageReadError", "ImageTooLargeError", "TileError", "MemoryError", "ProcessError")
Entry = Mapping[str, Any]
STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.45 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem } h3 { font-size: 1rem }
table { border-collapse: collapse; width: 100% } tr, figure { break-inside: avoid }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-top: 1px solid #8886; font-weight: 400 }
th { width: 30%; opacity: .75 } td:first-child { width: 40% } th + td { width: 70% }
figure { margin: 1.2rem 0 } figure img { max-width: 100%; height: auto } td img { max-width: 6rem; max-height: 6rem; display: block }
pre, code { font: .9rem/1.4 ui-monospace, monospace; white-space: pre-wrap; unicode-bidi: isolate }
.bad { color: #c00020; color: light-dark(#b00020, #ff8a80) }
@media print { :root { color-scheme: light } body { max-width: none; padding: 0 } }
"""
# Even if something in it were no text after all: nothing runs, and nothing is fetched but pictures beside it.
POLICY = "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Called:
    """One call of a run. asked: its options, None where they were not given. notes: on its inputs. pictures: of so many errors at most.
    looked: at so many rows. seconds: for them. ended: why it ended early.
    """

    asked: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    pictures: int = 0
    looked: int = 0
    seconds: float = 0.0
    ended: str = ""


def write_report(out: Path, manifest: Manifest, entries: Sequence[Entry], called: Called) -> Path:
    """Writes report.html: one file that fetches nothing and runs nothing. entries: of the journal. Raises WriteError.

    A row of which pixels were read and that could not be looked at is shown beside its error; of what could not be read there is nothing.
    """
    errors = sorted((error for entry in entries for error in entry["errors"]), key=lambda error: error["row"])
    parts = [
        f"<h1>A run over {_count(len(manifest.rows), 'row')}</h1>",
        _table(_facts(manifest, entries, len(errors), called)),
        *(f"<p>{_text(note)}</p>" for note in called.notes),
        *_errors(manifest, errors, called.pictures),
        *_pictures(out, manifest.rows),
        "<h2>How to read it</h2>",
        f"<pre>{_text(_program(out, manifest))}</pre>",
        "<h2>What was asked</h2>",
        _table(_asked(manifest, called)),
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_text(out.name)}</title><style>{STYLE}</style>'
    )
    body = "\n".join(parts)
    with replaced(out / NAME) as (staging, name):
        staging.text(name, f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n')
    return out / NAME


def _facts(manifest: Manifest, entries: Sequence[Entry], errors: int, called: Called) -> Iterator[tuple[str, str]]:
    kept = sum(entry["rows"] for entry in entries)
    if called.ended:
        yield "ended early", f'<span class="bad">{_text(called.ended)}</span>'
    yield "rows kept", f"{kept} of {len(manifest.rows)}, in {_count(len(entries), 'file')}"
    yield "errors", f'<span class="bad">{errors}</span>' if errors else "none"
    rate = f", {called.looked / called.seconds:.1f} a second" if called.looked and called.seconds > 0 else ""
    yield "the last call", f"looked at {_count(called.looked, 'row')} in {called.seconds:.1f} s{rate}"
    yield "all workers", f"{sum(entry['seconds'] or 0 for entry in entries):.1f} s, of every call together"


def _asked(manifest: Manifest, called: Called) -> Iterator[tuple[str, str]]:
    usual, settings = RunSettings().as_dict(), manifest.settings
    for name, value in called.asked.items():
        if value is not None:
            yield name, _text(value if isinstance(value, str | os.PathLike) else shown(value, MOST_LETTERS))
    for name, value in settings.items():
        if value != usual.get(name) or name in ("budget", "keep"):
            yield name, _text(value)
    for name, value in (*manifest.unit.items(), *manifest.versions.items()):
        yield name, _text(value)
    yield "hash", _text(manifest.hash)


def _errors(manifest: Manifest, errors: Sequence[Entry], pictures: int) -> Iterator[str]:
    """A table a kind, the commonest first."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for error in errors:
        kinds[error["kind"]].append(error)
    if kinds:
        yield "<h2>Errors</h2>"
    left = pictures
    for kind, own in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"<h3>{_text(kind)}: {len(own)}</h3><table>"
        for error in own[:MOST_ERRORS]:
            row = manifest.rows[error["row"]]
            picture = _small(row) if left > 0 and kind not in UNREAD else ""
            left -= bool(picture)
            yield f"<tr><td><code>{_named(row)}</code>{picture}</td><td>{_text(error['message'])}</td></tr>"
        yield "</table>"
        if len(own) > MOST_ERRORS:
            yield f"<p>and {len(own) - MOST_ERRORS} more; <code>hm.read_tokens(..., errors=True)</code> gives them all</p>"


def _pictures(out: Path, rows: Sequence[RunRow]) -> Iterator[str]:
    there = set(os.listdir(out / PICTURES)) if os.path.isdir(out / PICTURES) else set()
    drawn = {row: name for row in range(len(rows)) if (name := PICTURE.format(row=row)) in there} if there else {}
    if drawn:
        yield "<h2>What was seen</h2><p>Left the footprints of the last glimpse, right what they alone let one see.</p>"
    for row, name in drawn.items():
        caption = f"<figcaption><code>{_named(rows[row])}</code></figcaption>"
        yield f'<figure><img src="{PICTURES}/{name}" alt="footprints, and what they let one see" loading="lazy">{caption}</figure>'


def _small(row: RunRow) -> str:
    """The picture of a row, small, in the page itself; nothing where it cannot be read, or only in tiles."""
    with suppress(Exception):
        found = picture_of(row)
        if isinstance(found, np.ndarray):
            small = Image.fromarray(found)
            small.thumbnail((ERROR_PX, ERROR_PX))
            written = io.BytesIO()
            small.convert("RGB").save(written, "JPEG", quality=80)
            return f'<img src="data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}" alt="">'
    return ""


def _program(out: Path, manifest: Manifest) -> str:
    kept = "row.patches.pixels" if manifest.settings["keep"] == "patches" else "row.tokens"
    return f"import homunculus as hm\nfor row in hm.read_tokens({str(out)!r}):\n    print(row, {kept}.shape)"


def _named(row: RunRow) -> str:
    """The row, its query and what the list called it."""
    asked = "" if row.query is None else f", asked for “{row.query}”"
    return _text(f"{row}{asked}{'' if row.id is None else f', id {row.id}'}")


def _table(facts: Iterator[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{told}</td></tr>\n" for name, told in facts)
    return f'<table class="facts">\n{rows}</table>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _text(value: object) -> str:
    """For the page: escaped, and what cannot be printed as escapes, since names of files may hold anything."""
    return escape("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value)))
