"""The design's claims, each answered yes or no with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homunculus.lab.experiment.rows import BUDGET, PRIMARY
from homunculus.lab.experiment.table import Lines, RowResult, Share, compared

FULL_AT_LEAST, GRID_AT_MOST, ORACLE_AT_LEAST, MORE_IN_PERIPHERY = 0.95, 0.30, 0.90, 0.05


@dataclass(frozen=True)
class Claim:
    """claim: in words. yes: whether it held. share: what it was decided by, and what that is."""

    claim: str
    yes: bool
    share: Share
    of: str

    def __str__(self) -> str:
        return f"{'yes' if self.yes else 'no'}: {self.claim} — {self.of} {self.share} %"


def verdicts(lines: Lines, entries: Sequence[RowResult], size_px: int) -> list[Claim]:
    """Those whose rows were run."""
    by_name = {entry.name: entry for entry in entries if entry.size_px == size_px}
    found = []
    if full := by_name.get("full grid"):
        share = full.right["target"]
        found.append(
            Claim(f"the full grid reads at least {FULL_AT_LEAST:.0%}", share.mean >= FULL_AT_LEAST, share, "it reads")
        )
    if grid := by_name.get("resize-grid"):
        share = grid.right["target"]
        claim = f"resize-grid at {BUDGET} tokens reads at most {GRID_AT_MOST:.0%}: the task separates"
        found.append(Claim(claim, share.mean <= GRID_AT_MOST, share, "it reads"))
    if oracle := by_name.get(f"{PRIMARY}, oracle fixation"):
        share = oracle.right["target"]
        claim = f"with an oracle's fixation {PRIMARY} reads at least {ORACLE_AT_LEAST:.0%} at the target"
        found.append(Claim(claim, share.mean >= ORACLE_AT_LEAST, share, "it reads"))
    pairs = [
        (
            f"150 foveated tokens read more than {BUDGET} in a uniform grid",
            f"{PRIMARY} @ 150",
            "resize-grid",
            "target",
            0.0,
        ),
        (
            f"150 foveated tokens read more than {BUDGET} of every n-th native patch",
            f"{PRIMARY} @ 150",
            "uniform K",
            "target",
            0.0,
        ),
        ("in the periphery more than 5 % over CLS top-K", PRIMARY, "CLS top-K", "periphery", MORE_IN_PERIPHERY),
        (
            "in the periphery more than 5 % over top-K by relevance",
            PRIMARY,
            "grid_top_k",
            "periphery",
            MORE_IN_PERIPHERY,
        ),
        (
            "filtered log-polar reads more than unfiltered",
            "log-polar, filtered",
            "log-polar, unfiltered",
            "target",
            0.0,
        ),
        ("the eye reads more than CLS top-K", PRIMARY, "CLS top-K", "target", 0.0),
        ("the eye reads more than a two-view crop at the same fixation", PRIMARY, "two-view crop", "target", 0.0),
        ("nearby, without looking again, more than a two-view crop", PRIMARY, "two-view crop", "secondary", 0.0),
        ("in the periphery no less than a uniform grid", PRIMARY, "resize-grid", "periphery", None),
    ]
    for claim, first, second, part, margin in pairs:
        share_of = compared(lines, first, second, size_px, part)
        if share_of is not None:
            yes = share_of.high >= 0 if margin is None else share_of.low > margin
            found.append(Claim(claim, yes, share_of, f"the difference at the {part} is"))
    return found


def better(
    lines: Lines, entries: Sequence[RowResult], size_px: int, part: str = "target"
) -> list[tuple[RowResult, Share]]:
    """The rivals that read more than the primary allocator, beyond the interval, at the same budget and by their own fixations."""
    found = []
    for entry in entries:
        if entry.size_px != size_px or entry.name == PRIMARY or entry.group not in ("rival", "ours", "ablation"):
            continue
        share = compared(lines, entry.name, PRIMARY, size_px, part)
        if share is not None and share.low > 0:
            found.append((entry, share))
    return sorted(found, key=lambda pair: -pair[1].mean)
