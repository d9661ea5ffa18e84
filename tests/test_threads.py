"""Threads, forks and worker processes: right results or one typed error, never a hang."""

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from pictures import white_noise
from torch.utils.data import DataLoader, Dataset

from homunculus.bridge.errors import BackendUnavailableError, ClosedError, ForkedContextError
from homunculus.bridge.gl.context import close_all
from homunculus.bridge.gl.thread import GLThread
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.open import open_unit
from homunculus.bridge.opencv import one_opencv_thread
from homunculus.bridge.plan import SamplePlan

PLAN = SamplePlan.squares(torch.tensor([[20.0, 20.0], [40.0, 30.0]]), torch.tensor([16.0, 32.0]))


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(120)
def test_eight_threads_share_one_unit(gl_unit: GLUnit) -> None:
    """Each of 8 threads makes 200 calls on pictures of its own colour; no call may see another's."""

    def work(thread: int) -> int:
        colour = 20 + 25 * thread
        right = 0
        with gl_unit.pyramid(torch.full((64, 80, 3), colour, dtype=torch.uint8)) as pyramid:
            for call in range(200):
                plan = SamplePlan.squares(torch.full((1 + call % 7, 2), 32.0), torch.full((1 + call % 7,), 16.0))
                patches = gl_unit.sample(pyramid, plan, quality=("fast", "high")[call % 2])
                right += bool((patches.pixels - colour / 255).abs().max() <= 1e-3) and len(patches) == 1 + call % 7
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [200] * 8


def test_calls_run_on_one_thread_and_nested_calls_run_at_once() -> None:
    thread = GLThread("test")
    try:
        name = thread.call(lambda: threading.current_thread().name)
        assert name == "test"
        assert thread.call(lambda: thread.call(lambda: threading.current_thread().name)) == "test"
        with pytest.raises(ZeroDivisionError):
            thread.call(lambda: 1 / 0)
        seen: list[int] = []
        thread.defer(lambda: seen.append(1))
        assert seen == []
        thread.call(lambda: seen.append(2))
        assert seen == [1, 2]
    finally:
        thread.stop()


class Pictures(Dataset[torch.Tensor]):
    """Samples in the worker. A unit that is handed over travels by configuration; without one the worker opens its own."""

    def __init__(self, unit: Any = None) -> None:
        self.unit = unit

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.unit is None:
            self.unit = open_unit()
        with self.unit.pyramid(white_noise(64, 64, index)) as pyramid:
            return self.unit.sample(pyramid, PLAN).pixels.mean()


def expected_means() -> list[float]:
    with open_unit("torch") as unit:
        return [float(unit.sample(unit.pyramid(white_noise(64, 64, index)), PLAN).pixels.mean()) for index in range(8)]


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(120)
@pytest.mark.parametrize("own", [True, False], ids=["worker opens", "unit handed over"])
def test_data_loader_with_spawned_workers(gl_unit: GLUnit, own: bool) -> None:
    loader = DataLoader(
        Pictures(None if own else gl_unit), batch_size=4, num_workers=2, multiprocessing_context="spawn"
    )
    means = torch.cat(list(loader)).tolist()
    assert means == pytest.approx(expected_means(), abs=2e-3)


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_data_loader_with_forked_workers_that_open_their_own(gl_unit: GLUnit) -> None:
    """The parent holds a context, so the child may not open one; `auto` falls to torch and says so."""
    means = torch.cat(
        list(DataLoader(Pictures(), batch_size=4, num_workers=2, multiprocessing_context="fork"))
    ).tolist()
    assert means == pytest.approx(expected_means(), abs=2e-3)


@pytest.mark.gl
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_worker_with_the_parents_unit_gets_one_typed_error(gl_unit: GLUnit) -> None:
    loader = DataLoader(Pictures(gl_unit), batch_size=4, num_workers=2, multiprocessing_context="fork")
    with pytest.raises(ForkedContextError, match=r"was forked from it.*multiprocessing_context='spawn'"):
        list(loader)


@pytest.mark.gl
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.timeout(60)
def test_opening_after_fork_is_refused_not_hung(gl_unit: GLUnit) -> None:
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            open_unit("gl")
            answer = "opened"
        except ForkedContextError as error:
            answer = str(error)
        auto = open_unit()
        os.write(write, f"{answer}|{auto.backend}|{auto.reason}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    refusal, backend, reason = os.read(read, 4000).decode().split("|")
    os.close(read)
    os.close(write)
    assert "can hang" in refusal
    assert "spawn" in refusal
    assert backend == "torch"
    assert reason.startswith(f"gl: {refusal}; gl-cuda, cuda: ")


@pytest.mark.gl
def test_a_unit_pickles_by_configuration(gl_unit: GLUnit) -> None:
    with pickle.loads(pickle.dumps(gl_unit)) as copy, copy.pyramid(white_noise(8, 8)) as pyramid:
        assert copy.backend == "gl"
        assert copy.sample(pyramid, PLAN).pixels.shape == (2, 3, 16, 16)


@pytest.mark.gl
@pytest.mark.timeout(60)
def test_after_the_context_is_gone_calls_are_refused_not_hung(gl_works: str) -> None:
    unit = open_unit("gl")
    pyramid = unit.pyramid(white_noise(8, 8))
    close_all()
    with pytest.raises(ClosedError, match="open another unit"):
        unit.sample(pyramid, PLAN)
    pyramid.close()
    unit.close()
    with open_unit("gl") as other, other.pyramid(white_noise(8, 8)) as again:
        assert other.sample(again, PLAN).pixels.shape == (2, 3, 16, 16)


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(60)
def test_a_process_that_closes_nothing_still_ends() -> None:
    script = """
        import numpy, torch, homunculus as hm
        unit = hm.open_unit("gl")
        pyramid = unit.pyramid(numpy.zeros((64, 64, 3), numpy.uint8))
        unit.sample(pyramid, hm.SamplePlan.squares(torch.tensor([[32.0, 32.0]]), torch.tensor([16.0])))
        import atexit
        atexit.register(unit.close)
        print("sampled")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "sampled", "")


def test_which_backend_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_unit("torch") as unit:
        assert unit.backend == "torch"
        assert unit.reason == "asked for by argument"
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "torch")
    with open_unit() as unit:
        assert unit.backend == "torch"
        assert unit.reason == "asked for by HOMUNCULUS_BACKEND"
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "vulkan")
    with pytest.raises(
        BackendUnavailableError,
        match=r"'vulkan' \(by HOMUNCULUS_BACKEND\); choose one of auto, gl-cuda, cuda, gl, torch",
    ):
        open_unit()
    with open_unit("auto", dtype=torch.float64) as unit:
        assert unit.backend == "torch"
        assert "float64" in unit.reason


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_without_a_driver_auto_falls_to_torch_and_says_why() -> None:
    script = """
        import homunculus as hm
        unit = hm.open_unit()
        print(unit.backend, unit.reason)
        try:
            hm.open_unit("gl")
        except hm.BackendUnavailableError as error:
            print("refused:", error)
    """
    environment = {**os.environ, "__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent.json"}
    environment.pop("HOMUNCULUS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=50, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch gl: no OpenGL 4.3 context")
    assert "refused: no OpenGL 4.3 context could be opened through EGL" in done.stdout
    assert "apt install libegl1 libgl1 libgl1-mesa-dri" in done.stdout


def test_opencv_has_its_threads_again_when_the_last_block_ends() -> None:
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        inside, outside = threading.Event(), threading.Event()

        def other() -> None:
            with one_opencv_thread():
                inside.set()
                outside.wait(10)

        with ThreadPoolExecutor(1) as pool:
            with one_opencv_thread(), one_opencv_thread():
                ended = pool.submit(other)
                assert inside.wait(10)
            assert cv2.getNumThreads() == 1
            outside.set()
            ended.result(10)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
