"""Writes what was found: results.json, the plot, and a page in plain words."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from homunculus.bridge.files import replaced_together
from homunculus.lab import plots
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.search.ways import WAYS
from homunculus.lab.tables import in_markdown
from homunculus.lab.training.words import LEFT_OUT

SHARE, WITHIN = 0.8, 1.5  # the aim: so many keys found for so many budgets
HEADINGS = "", "budgets", "pages", "near [%]", "in its box [%]", "of 20 places one near [%]", "CPU s"
COLOURS = dict(
    zip(
        (way.name for way in WAYS),
        (plots.SKY, plots.GREEN, plots.BLUE, plots.PURPLE, plots.ORANGE, plots.VERMILION, plots.GRAY),
        strict=True,
    )
)
TEXT = """# What finding a word costs

Before a value can be read its key must be found, and by reading alone that costs more tokens than the value does. Each way gets
the words of the key and so many budgets of 273 tokens of 16 x 16 texels, everything counted. The key counts as found where the
place that a way names first lies within 0.03 page heights of the middle of the key's box. 95 % intervals, bootstrapped over pages.
Made by `homunculus experiment search`, on A4 pages of `homunculus experiment pages` by seeds from 10000 on, which that experiment leaves
for development. Every number comes from [results.json](results.json), that from [journal.jsonl](journal.jsonl).

- **shape**: one look at inked cells alone, tokens of one size, none for blank paper. The key is drawn in Pillow's own typeface, in which
  no page is set, at four sizes and five widths, and correlated with it (`homunculus.relevance.word_shapes`). Nothing is read or learned.
- **learned shape**: the same of what three convolutions make of ink and drawing. `homunculus train words` fits their 3,351 weights to
  pages of made-up words, 450 steps; those that ship are of its defaults. No word of the pages and nothing set in Caladea was learned from.
- **..., then strips read**: half a budget of the total goes to strips of 9 texels an em over the likeliest places, some 30 of them, which
  PP-OCRv6's recogniser reads; where one of them reads like the key, that is the place.
- **ink read**, **page read**: PP-OCRv6, detector and recogniser, reads one look at the ink, or at all of the page."""
LIMITS = """Read this with care:

- Where ink lies is told by the page's own pixels, those darker than 200 of 255; the loop's reading takes statistics that the texture units
  make of the whole page instead. Neither is counted as tokens; a system that cannot have them pays for them.
- Letters are taken to be of 7.5 to 10.5 pt on an A4 page. Where their size is not known, a search over sizes from 2 to 8 texels an em
  put the key first on 56 % of 32 pages, against 75 % with the size known, both by shape alone at one budget.
- The pages are clean, upright and generated, and keys on them begin a line or a cell. Skew, scans and handwriting were not tried. The
  weight that large drawings get was chosen on seeds 10100 to 10131; the method itself was tried on some of the pages above.
- Where all n pages are found the bootstrap sees no spread; the true share may be as low as 0.025^(1/n), 91 % for 40 pages.
- A place is all that is found: the value is still to be read there.
- Seconds are of one thread of a busy machine, and only tell cheap from dear."""


@dataclass(frozen=True)
class Row:
    """A way at a total. near, inside: of the first place; among: whether one of the first 20 is near."""

    way: str
    budgets: float
    pages: int
    near: Estimate
    inside: Estimate
    among: Estimate
    seconds: float


def rows(lines: Sequence[dict[str, Any]]) -> list[Row]:
    """In the order of WAYS, those that were run on two pages at least."""
    found = []
    for way in WAYS:
        some = sorted((line for line in lines if line["way"] == way.name), key=lambda line: line["page"])
        if len(some) > 1:
            found += [_row(way.name, total, [line["totals"][str(total)] for line in some]) for total in way.totals]
    return found


def _row(way: str, total: float, outcomes: Sequence[dict[str, Any]]) -> Row:
    def share(of: str, ranks: int) -> Estimate:
        return Estimate.of([float(one[of] is not None and one[of] < ranks) for one in outcomes])

    seconds = statistics.median(one["s"] for one in outcomes)
    return Row(way, total, len(outcomes), share("near", 1), share("inside", 1), share("near", 20), seconds)


def verdict(found: Sequence[Row]) -> str:
    """Whether the aim is reached, by which way, and by how much or how little."""
    cheap = [row for row in found if row.budgets <= WITHIN]
    aim = f"The aim, {SHARE:.0%} of keys for {WITHIN} budgets,"
    if not cheap:
        return f"{aim} was not put to the test."
    best = max(cheap, key=lambda row: (row.near.mean, -row.budgets))
    told = f"{best.way} finds {best.near.percent()} % for {best.budgets:g} on {best.pages} pages."
    if best.near.mean < SHARE:
        return f"**No.** {aim} is missed: at most, {told}"
    sure = "" if best.near.low >= SHARE else " The interval does not exclude less."
    least = min((row for row in cheap if row.near.mean >= SHARE), key=lambda row: (row.budgets, -row.near.mean))
    enough = (
        f" {least.budgets:g} budgets suffice: {least.way}, {least.near.percent()} %."
        if least.budgets < best.budgets
        else ""
    )
    return f"**Yes.** {aim} is reached: {told}{sure}{enough}"


def write(out: Path, lines: Sequence[dict[str, Any]]) -> list[Path]:
    """results.json, README.md, and search.png where matplotlib is. Raises WriteError; earlier files are then still there."""
    found = rows(lines)
    names = ["results.json", "README.md", *(["search.png"] if plots.HAS_MATPLOTLIB else [])]
    picture = ["![Keys found against budgets of tokens](search.png)", ""] if plots.HAS_MATPLOTLIB else []
    table = in_markdown(HEADINGS, map(_cells, found))
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], {"rows": [asdict(row) for row in found], "files": names}, indent=1)
        staging.text(
            names[1],
            "\n".join(
                [
                    TEXT,
                    "",
                    verdict(found),
                    "",
                    *picture,
                    *table,
                    "",
                    *_paired(lines),
                    *_left_out(lines),
                    *_unread(found),
                    LIMITS,
                ]
            )
            + "\n",
        )
        if picture:
            staging.figure(names[2], _plot(found), dpi=120)
    return [out / name for name in names]


def _paired(lines: Sequence[dict[str, Any]]) -> list[str]:
    """What learning adds, on the pages of both."""
    told = []
    for total, suffix in (("1", ""), ("1", ", then strips read")):
        hits = {
            learned: {
                line["page"]: line["totals"][total]["near"] == 0 for line in lines if line["way"] == name + suffix
            }
            for learned, name in ((True, "learned shape"), (False, "shape"))
        }
        both = sorted(hits[True].keys() & hits[False].keys())
        if len(both) > 1:
            more = Estimate.of([float(hits[True][page]) - float(hits[False][page]) for page in both])
            told.append(
                f"On the {len(both)} pages of both, learned shape{suffix} finds {more.percent()} points more than shape{suffix} "
                f"for {total} budget."
            )
    return [" ".join(told), ""] if told else []


def _left_out(lines: Sequence[dict[str, Any]]) -> list[str]:
    """How the learned ways do on the typeface that they did not learn from."""
    some = [line for line in lines if line["way"] == "learned shape" and line.get("face") == LEFT_OUT]
    hits = sum(line["totals"]["1"]["near"] == 0 for line in some)
    return [f"Of {len(some)} pages set in {LEFT_OUT} learned shape finds {hits} at one budget.", ""] if some else []


def _unread(found: Sequence[Row]) -> list[str]:
    """What to say where no whole look was read."""
    if any("read" in row.way.partition(",")[0] for row in found):
        return []
    return [
        "The ways that read whole looks were left out of this run (`--read-pages 0`): one look takes a core nine seconds. For comparison, "
        "the loop's own way, two budgets of ink read and one more looked at, has its first fixation near key or value on 23 of 24 other "
        "pages ([loop.md](../loop.md)).",
        "",
    ]


def _plot(found: Sequence[Row]) -> Any:
    figure, (axes,) = plots.figure((7, 4.4))
    for place, way in enumerate(dict.fromkeys(row.way for row in found)):
        some = [row for row in found if row.way == way]
        at = [row.budgets + 0.012 * (place - 3) for row in some]
        axes.plot(at, [100 * row.near.mean for row in some], "o-", color=COLOURS[way], markersize=4, label=way)
        axes.vlines(
            at, [100 * row.near.low for row in some], [100 * row.near.high for row in some], COLOURS[way], linewidth=1
        )
    axes.axhline(100 * SHARE, color=plots.DARK, linewidth=0.6, linestyle=":")
    axes.axvline(WITHIN, color=plots.DARK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="budgets of 273 tokens, all told", ylabel="keys found within 0.03 page heights [%]", ylim=(0, 102))
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    plots.grid(axes)
    return figure


def _cells(row: Row) -> list[str]:
    shares = (row.near.percent(), row.inside.percent(), f"{row.among.mean:.0%}".rstrip("%"))
    return [row.way, f"{row.budgets:g}", str(row.pages), *shares, f"{row.seconds:.2f}"]
