"""One place for the devices that tests run on. A machine says what it has: EXPECT_GL=llvmpipe, EXPECT_CUDA=1 turn a skip into a failure.
POISON=1 fills fresh memory of OpenGL's with NaN, in every test."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import host_cuda
import pytest
import torch
from stand_in_cuda import StandInCuda
from torch_states import STATES

from homunculus.bridge.backends import BACKENDS, REFERENCE
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.gl.context import open_context
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.open import open_unit
from homunculus.bridge.unit import TextureUnit


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("EXPECT_CUDA") == "1" and not torch.cuda.is_available():
        raise pytest.UsageError("EXPECT_CUDA=1, but torch sees no CUDA device")


@pytest.fixture(scope="session", autouse=True)
def fresh_memory() -> Iterator[None]:
    if os.environ.get("POISON") == "1":
        from poison import poisoned

        with poisoned():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def torch_state() -> Iterator[None]:
    """TORCH_STATE=float64, or another name of `torch_states`: every test runs in a program that has set it."""
    with STATES[os.environ["TORCH_STATE"]]() if os.environ.get("TORCH_STATE") else nullcontext():
        yield


@pytest.fixture(scope="session")
def gl_works() -> str:
    """The renderer's name; without OpenGL the test is skipped, or fails where the machine said it has one."""
    expected = os.environ.get("EXPECT_GL")
    try:
        renderer = open_context().renderer
    except BackendUnavailableError as error:
        if expected:
            pytest.fail(f"EXPECT_GL={expected}, but: {error}")
        pytest.skip(str(error))
    if expected and expected not in renderer:
        pytest.fail(f"EXPECT_GL={expected}, but the renderer is {renderer}")
    return renderer


@pytest.fixture
def gl_unit(gl_works: str) -> Iterator[GLUnit]:
    """An open GL unit. Fails the test if it leaves a GL error pending or a GL object behind."""
    context = open_context()
    context.thread.call(lambda: None)  # lets what earlier tests forgot be freed first
    before = {name: count for name, count in context.live.items() if count}
    assert context.thread.call(lambda: context.moderngl.error) == "GL_NO_ERROR", "an earlier test left a GL error"
    with open_unit("gl") as unit:
        assert isinstance(unit, GLUnit)
        yield unit
    context.thread.call(lambda: None)
    assert context.thread.call(lambda: context.moderngl.error) == "GL_NO_ERROR"
    after = {name: count for name, count in context.live.items() if count}
    assert after == before, f"GL objects left behind: {before} before, {after} after"


@pytest.fixture(scope="session")
def stand_in_gl(gl_works: str) -> GLCudaUnit:
    """A gl-cuda unit on software OpenGL, with a stand-in for CUDA; open for the whole session."""
    return GLCudaUnit(cuda=StandInCuda())


UNITS = [name for name, row in BACKENDS.items() if not row.reference]


@pytest.fixture(params=[*UNITS, "gl-cuda with a stand-in", "cuda with a stand-in"])
def unit(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    """Every unit but the reference: those of this machine, and those that a stand-in for CUDA makes possible."""
    if request.param == "gl":
        yield request.getfixturevalue("gl_unit")
    elif request.param == "gl-cuda with a stand-in":
        yield request.getfixturevalue("stand_in_gl")
    elif request.param == "cuda with a stand-in":
        with host_unit() as unit:
            yield unit
    else:
        with opened(request.param) as unit:
            yield unit


def host_unit() -> CudaUnit:
    """A cuda unit whose kernels are compiled for the CPU. Skips where there is no compiler."""
    if host_cuda.COMPILER is None:
        pytest.skip("no C++ compiler (g++ or clang++) to build the kernels for the CPU with")
    return CudaUnit(cuda=StandInCuda())


def opened(backend: str) -> TextureUnit:
    """That backend; skips with its reason where it does not work, or fails where EXPECT_CUDA=1."""
    try:
        return open_unit(backend)
    except BackendUnavailableError as error:
        if os.environ.get("EXPECT_CUDA") == "1":
            pytest.fail(f"EXPECT_CUDA=1, but: {error}")
        pytest.skip(str(error))


@pytest.fixture
def twin() -> Iterator[TextureUnit]:
    """The reference in float64: the oracle."""
    with open_unit(REFERENCE, dtype=torch.float64) as unit:
        yield unit


@pytest.fixture
def fastest_unit() -> Iterator[TextureUnit]:
    """The first unit that works here."""
    with open_unit() as unit:
        yield unit


@pytest.fixture(params=[REFERENCE, pytest.param("gl", marks=pytest.mark.gl)])
def any_unit(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    """Each unit in turn; gl as `gl_unit` gives it."""
    if request.param == "gl":
        yield request.getfixturevalue("gl_unit")
    else:
        with open_unit(request.param) as unit:
            yield unit


@pytest.fixture(scope="session")
def display(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A virtual screen of this session's own; without one the test is skipped, or fails where EXPECT_XVFB=1."""
    missing = [program for program in ("Xvfb", "xdotool") if shutil.which(program) is None]
    if missing:
        told = f"{' and '.join(missing)} not installed; on Debian and Ubuntu: apt install xvfb xdotool"
        pytest.fail(f"EXPECT_XVFB=1, but: {told}") if os.environ.get("EXPECT_XVFB") == "1" else pytest.skip(told)
    log = tmp_path_factory.mktemp("xvfb") / "log"
    reader, writer = os.pipe()
    with log.open("w") as errors:
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
        server = subprocess.Popen(command, pass_fds=[writer], stdout=errors, stderr=errors)
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.readline().strip()
    assert number, f"Xvfb did not start: {log.read_text()}"
    before = {name: os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")}
    os.environ["DISPLAY"] = f":{number}"
    os.environ.pop("WAYLAND_DISPLAY", None)
    yield f":{number}"
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a shell in which `homunculus` and `python` are this checkout's, by a process that is warm."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    folder = tmp_path_factory.mktemp("warm")
    path, client = folder / "socket", Path(__file__).with_name("warm.py")
    (folder / "bin").mkdir()
    for name in ("homunculus", "python"):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {client} {path} {name} "$@"\n')
        command.chmod(0o755)
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONWARNINGS": "error", "COLUMNS": "120"}
    server = subprocess.Popen([sys.executable, client, path], stdin=subprocess.PIPE, env=given)
    try:
        while not path.exists():
            assert server.poll() is None, "the warm process ended"
        yield {**given, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    finally:
        server.communicate()
        assert server.returncode == 0
