"""One room opens files: no other module of the packages reads or writes one by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
METHODS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "savefig", "save_file", "load_file", "safe_open", "loadmat",
    "DictReader", "DictWriter", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "mkdir", "touch", "fdopen", "memmap",
    "fromfile", "tofile", "loadtxt", "genfromtxt", "savetxt", "savez",
}  # fmt: skip
# Of these modules, calls of these names.
QUALIFIED = {
    "json": {"load", "loads", "dump"},
    "np": {"load", "save"},
    "numpy": {"load", "save"},
    "torch": {"load", "save"},
    "os": {"replace", "rename", "link", "open", "makedirs"},
    "pickle": {"load", "loads", "dump"},
    "csv": {"reader"},
    "shutil": {"copy", "copyfile", "move", "rmtree"},
}
OURS = "bridge/files/"
# Who opens files all the same, what, and why.
ELSEWHERE = {
    "bridge/gl/machine.py": "the driver's own list of libraries, in the system's folders",
    "homunculus/__init__.py": "the stub beside it, where the public names stand",
    "homunculus/lab/bench/watch.py": "a video made for the clock, in a folder of its own",
    "homunculus/lab/bench/machine.py": "/proc and the repository, as facts about the machine",
    "homunculus/encoder/weights.py": "the headers alone of a model folder's weights",
    "homunculus/lab/needle/glyphs.py": "a sheet of letters that ships with the package",
    "bridge/pictures/files.py": "a picture, by Pillow",
    "homunculus/lab/photographs/pictures.py": "a JPEG made in memory",
    "bridge/clips/video.py": "a video or camera, by PyAV",
    "bridge/clips/writer.py": "a video's encoder, into a staged file",
    "bridge/clips/extent.py": "what a video's file says of its own length",
    "bridge/slides/contents.py": "the directories alone of a TIFF",
    "bridge/slides/tiff.py": "tiles from their places in a TIFF",
    "bridge/slides/zarr.py": "Zarr, by its package",
    "homunculus/report/png.py": "a PNG, into a staged file",
    "homunculus/lab/training/checkpoint.py": "a task, brought into the form in which it is written",
    "homunculus/cli/names.py": "the names that the package's own files register",
    "homunculus/relevance/gaze/files.py": "CSV made in memory",
    "homunculus/relevance/gaze/scanpath.py": "CSV made in memory",
    "shaders/files.py": "the package's own shaders",
}


def opened(source: str) -> set[str]:
    """The calls in a text that read, write or move files, or parse what they hold."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        call = node.func
        if isinstance(call, ast.Name) and call.id in METHODS:
            found.add(call.id)
        elif isinstance(call, ast.Attribute):
            module = call.value.id if isinstance(call.value, ast.Name) else ""
            of_ours = module in ("self", "source", "session", "stack", "device") or ast.unparse(call.value).endswith(
                ".pages"
            )
            plain = call.attr in METHODS and not of_ours
            if plain or call.attr in QUALIFIED.get(module, ()):
                found.add(f"{module}.{call.attr}")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("open('a')", {"open"}),
        ("path.write_text('x')", {"path.write_text"}),
        ("json.loads(x); json.dumps(x)", {"json.loads"}),
        ("self.open(); source.open()", set()),
        ("np.load(x); torch.save(x); a.b.read_bytes()", {"np.load", "torch.save", ".read_bytes"}),
        ("from safetensors.torch import load_file\nload_file(x)", {"load_file"}),
    ],
)
def test_calls_are_found(source: str, expected: set[str]) -> None:
    assert opened(source) == expected


@pytest.mark.slow
def test_only_one_room_opens_files() -> None:
    packages = [ROOT / name for name in ("homunculus", "bridge", "interop", "shaders")]
    modules = [path for package in packages for path in package.rglob("*.py")]
    found = {str(path.relative_to(ROOT)): opened(path.read_text("utf-8")) for path in modules}
    assert len(found) > 200
    wrong = {
        name: calls for name, calls in found.items() if calls and not name.startswith(OURS) and name not in ELSEWHERE
    }
    assert not wrong
    assert not {name for name in ELSEWHERE if name not in found or not found[name]}, (
        "nothing there opens a file any more"
    )
