"""Builds the wheel, installs it into an empty folder, and samples a picture with that copy from elsewhere."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bridge", "shaders", "interop", "homunculus")
USE = """
import importlib, sys
from pathlib import Path

for name in {packages}:
    place = importlib.import_module(name).__file__
    assert Path(place).is_relative_to({folder!r}), f"{{name}} comes from {{place}}"

import homunculus as hm

image = hm.read_image({picture!r})
with hm.open_unit() as unit, unit.pyramid(image) as pyramid:
    plan = hm.layouts.log_polar(pyramid.size, fixation=pyramid.at(0.43, 0.22), budget=273)
    patches = unit.sample(pyramid, plan)
    assert tuple(patches.pixels.shape) == (273, 3, 16, 16)
    print(f"{{len(plan)}} patches, {{unit.backend}} on {{unit.renderer}}, from the installed wheel")
"""


def check_contents(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert folders == set(PACKAGES), f"the wheel holds {sorted(folders)}"
    for package in PACKAGES:
        assert f"{package}/py.typed" in names, f"{package}/py.typed is missing"
    sources = [path for path in (ROOT / "shaders").rglob("*.*") if "__pycache__" not in path.parts]
    missing = {str(path.relative_to(ROOT)) for path in sources} - set(names)
    assert not missing, f"missing from the wheel: {sorted(missing)}"


with tempfile.TemporaryDirectory() as temporary:
    dist, installed = Path(temporary, "dist"), Path(temporary, "installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT], check=True)
    (wheel,) = dist.glob("*.whl")
    check_contents(wheel)
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    program = USE.format(packages=PACKAGES, folder=str(installed), picture=str(ROOT / "examples/data/photograph.jpg"))
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", program], cwd=temporary, env=environment, check=True)
