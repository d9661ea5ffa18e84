"""Builds sdist and wheel, and uses the wheel in fresh environments: beside a package named interop, installed before and after it,
and beside a script's own bridge.py. What it needs beyond itself is read from the environment that runs this."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("bridge", "shaders", "interop")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
STRANGER = "Metadata-Version: 2.1\nName: interop\nVersion: 1.9.0\n"
USE = """
import sys
from pathlib import Path
from importlib.util import find_spec

import bridge
assert bridge.MINE, "a script's own bridge.py is hidden"
assert find_spec("shaders") is None
import homunculus as hm
from homunculus import bridge as ours, interop, shaders
for module in (hm, ours, interop, shaders):
    assert Path(module.__file__).is_relative_to(sys.prefix), f"{module.__name__} comes from {module.__file__}"

image = hm.read_image(sys.argv[1])
with hm.open_unit() as unit, unit.pyramid(image) as pyramid:
    plan = hm.layouts.log_polar(pyramid.size, fixation=pyramid.at(0.43, 0.22), budget=273)
    patches = unit.sample(pyramid, plan)
    assert tuple(patches.pixels.shape) == (273, 3, 16, 16)
    print(f"{len(plan)} patches, {unit.backend} on {unit.renderer}, from the installed wheel")
"""


def check_names(names: list[str], archive: Path) -> None:
    """Everything that the folders hold stands in the package, and nothing of ours beside it."""
    missing = {
        f"homunculus/{path.relative_to(ROOT)}"
        for folder in LINKED
        for path in (ROOT / folder).rglob("*.*")
        if "__pycache__" not in path.parts
    } - set(names)
    assert not missing, f"missing from {archive.name}: {sorted(missing)}"
    assert "homunculus/py.typed" in names, archive.name
    beside = {name for name in names if name.split("/")[0] in LINKED}
    assert not beside, f"{archive.name} holds {sorted(beside)}"


def stranger(folder: Path) -> Path:
    """A wheel of somebody else's package with a name that was once ours."""
    wheel = folder / "interop-1.9.0-py3-none-any.whl"
    info = "interop-1.9.0.dist-info"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("interop/__init__.py", "THEIRS = True\n")
        archive.writestr(f"{info}/METADATA", STRANGER)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/RECORD", f"interop/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return wheel


def environment(folder: Path, *wheels: Path) -> Path:
    """The interpreter of a fresh environment that has these wheels, installed in this order, and sees what ours depends on."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    for wheel in wheels:
        subprocess.run([*PIP, "--python", python, "install", "--no-deps", wheel], check=True)
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    Path(purelib, "dependencies.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # its own .pth files do not count
    return python


def use(python: Path, folder: Path) -> None:
    """Samples a picture, and gives the demo's commands, in a folder that has a bridge.py."""
    (folder / "bridge.py").write_text("MINE = True\n")
    (folder / "script.py").write_text(USE)
    picture = str(ROOT / "examples/data/photograph.jpg")
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for command in (
        ["script.py", picture],
        [str(ROOT / "examples/01_make_page.py"), "out"],
        ["-m", "homunculus", "look", "out/page.png", "--at", "0.62,0.31", "--out", "out/page"],
        ["-m", "homunculus", "look", picture, "--query", "orange, bottom left", "--out", "out/query"],
    ):
        subprocess.run(
            [python, *command],
            cwd=folder,
            env=clean,
            check=True,
            stdout=None if "script.py" in command else subprocess.DEVNULL,
        )


def check(temporary: Path) -> None:
    dist = temporary / "dist"
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT], check=True)
    (ours,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    check_names(ZipFile(ours).namelist(), ours)
    with tarfile.open(sdist) as archive:
        check_names([name.partition("/")[2] for name in archive.getnames()], sdist)
    theirs = stranger(temporary)
    for name, wheels in (("before", (theirs, ours)), ("after", (ours, theirs))):
        python = environment(temporary / name, *wheels)
        work = temporary / f"work-{name}"
        work.mkdir()
        use(python, work)
        subprocess.run([python, "-c", "import interop; assert interop.THEIRS"], cwd=work, check=True)
        subprocess.run([*PIP, "--python", python, "uninstall", "--yes", "interop"], check=True)
        subprocess.run([python, "-c", "import homunculus.interop"], cwd=work, check=True)
        print(f"with somebody's interop installed {name}: both work, and ours without it")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        check(Path(folder))
