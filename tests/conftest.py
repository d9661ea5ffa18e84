"""One place for the devices that tests run on. A machine says what it has: EXPECT_GL=llvmpipe, EXPECT_CUDA=1 turn a skip into a failure."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import torch

from bridge import BackendUnavailableError, open_unit
from bridge.gl.context import open_context
from bridge.gl.unit import GLUnit
from bridge.twin.unit import TwinUnit
from bridge.unit import TextureUnit


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("EXPECT_CUDA") == "1" and not torch.cuda.is_available():
        raise pytest.UsageError("EXPECT_CUDA=1, but torch sees no CUDA device")


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


@pytest.fixture
def twin() -> Iterator[TwinUnit]:
    """The float64 torch unit: the oracle."""
    with TwinUnit(dtype=torch.float64) as unit:
        yield unit


@pytest.fixture
def fastest_unit() -> Iterator[TextureUnit]:
    """The first unit that works here."""
    with open_unit() as unit:
        yield unit


@pytest.fixture(params=["torch", pytest.param("gl", marks=pytest.mark.gl)])
def any_unit(request: pytest.FixtureRequest) -> Iterator[TextureUnit]:
    """Each unit in turn; gl as `gl_unit` gives it."""
    if request.param == "gl":
        yield request.getfixturevalue("gl_unit")
    else:
        with TwinUnit() as unit:
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
