"""What `gpu_check.py` writes: facts of the machine, and what came of each part, as JSON and as Markdown."""

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("cuda-bindings", "moderngl", "numpy", "nvidia-cuda-nvrtc", "pytest", "transformers")


@dataclass
class Outcome:
    name: str
    command: str
    status: str  # passed, failed, timed out, or not run and why
    seconds: float
    summary: str
    tail: list[str]
    extra: bool = False


def machine(root: Path) -> dict[str, object]:
    """`device` and `capability` only where torch sees a CUDA device."""
    facts: dict[str, object] = {"python": platform.python_version(), "system": platform.system()}
    try:
        import torch

        facts |= {"torch": torch.__version__, "cuda": torch.version.cuda}
        if torch.cuda.is_available():
            facts |= {"device": torch.cuda.get_device_name(), "capability": list(torch.cuda.get_device_capability())}
    except Exception as error:
        facts["torch"] = f"{type(error).__name__}: {error}"
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = None
    facts["driver"] = _said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    facts["commit"] = commit(root)
    return facts


def commit(root: Path) -> str | None:
    """Of the tree: GPU_COMMIT, else git's word, else the file .gpu/commit, for a tree that came without its .git."""
    if os.environ.get("GPU_COMMIT"):
        return os.environ["GPU_COMMIT"]
    if (root / ".git").exists():
        return _said(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    try:
        return (root / ".gpu" / "commit").read_text().strip() or None
    except OSError:
        return None


def _said(command: list[str]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def write(out: Path, facts: dict[str, object], outcomes: list[Outcome]) -> Path:
    """The Markdown's path; the JSON lies beside it. Both are named for the device."""
    out.mkdir(parents=True, exist_ok=True)
    device = re.sub(r"[^a-z0-9]+", "-", str(facts.get("device", "no-gpu")).lower()).strip("-")
    path = out / f"{device}.json"
    path.write_text(json.dumps({"machine": facts, "parts": [asdict(outcome) for outcome in outcomes]}, indent=2) + "\n")
    text = [
        f"# {facts.get('device', 'No GPU')}",
        "",
        "By `make gpu-check`. " + ", ".join(f"{k} {v}" for k, v in facts.items()),
        "",
    ]
    text += ["| part | outcome | seconds | |", "|---|---|---|---|"]
    text += [f"| {o.name} | {o.status} | {o.seconds} | {o.summary.replace('|', '/')} |" for o in outcomes]
    text += _times([json.loads(line) for o in outcomes if o.name == "times" for line in o.tail if line.startswith("{")])
    for outcome in outcomes:
        if outcome.tail and (outcome.status != "passed" or outcome.name == "doctor"):
            text += ["", f"## {outcome.name}: {outcome.status}", "", "```", *outcome.tail, "```"]
    path.with_suffix(".md").write_text("\n".join(text) + "\n")
    return path.with_suffix(".md")


def _times(measured: list[dict[str, object]]) -> list[str]:
    text: list[str] = []
    rows = [row for row in measured if "wall_us" in row]
    if rows:
        text += ["", "| backend | px | task | wall us | device us |", "|---|---|---|---|---|"]
        text += [f"| {r['backend']} | {r['size_px']} | {r['task']} | {r['wall_us']} | {r['device_us']} |" for r in rows]
    return [*text, "", *(f"`{json.dumps(row)}`  " for row in measured if "wall_us" not in row)]
