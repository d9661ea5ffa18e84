"""Contexts of OpenGL's: opened whatever their maker left behind, freed when they are closed, and adopted from EGL as from GLX."""

import threading
from collections.abc import Callable
from typing import Any

import glcontext
import moderngl
import pytest
import torch
from pictures import white_noise
from test_memory import needs_proc, resident_bytes

from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.gl.context import adopt_context, context_at
from homunculus.bridge.gl.thread import LoopThread
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.interop.egl import CurrentContext, release_thread

pytestmark = [pytest.mark.gl, pytest.mark.usefixtures("gl_works")]
INVALID_CAPABILITY = 0xDEAD


def on_a_thread(work: Callable[[], Any]) -> Any:
    """Its result, or its exception, from a thread of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)
        finally:
            release_thread()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


def test_an_error_that_opening_left_pending_is_not_ours(monkeypatch: pytest.MonkeyPatch, gl_works: str) -> None:
    """As on drivers that refuse one of the hundred values that moderngl asks for, or in a window whose maker checks nothing."""
    create = moderngl.create_context

    def create_and_err(**options: Any) -> Any:
        context = create(**options)
        context.enable_direct(INVALID_CAPABILITY)
        return context

    monkeypatch.setattr(moderngl, "create_context", create_and_err)
    monkeypatch.setattr(moderngl.Context, "info", property(lambda context: pytest.fail("asks for too much")))
    context = context_at(0)
    assert context.renderer == gl_works
    assert context.version[0] == "4"
    assert context.call(lambda: context.moderngl.error) == "GL_NO_ERROR"
    context.close()


@pytest.mark.slow
@needs_proc
def test_closed_contexts_leave_no_memory() -> None:
    resident: list[int] = []
    for turn in range(16):
        context = context_at(0)
        with GLUnit(context=context) as unit, unit.pyramid(white_noise(64, 64)) as pyramid:
            unit.sample(pyramid, SamplePlan.squares(torch.tensor([[32.0, 32.0]]), torch.tensor([8.0]), 8))
        context.close()
        if turn in (5, 15):
            resident.append(resident_bytes())
    grown = resident[1] - resident[0]
    assert grown <= 16 << 20, f"ten contexts left {grown / 2**20:.1f} MiB"


def test_a_context_current_by_egl_is_adopted_and_stays_its_makers() -> None:
    """As a window's under Wayland, which GLX knows nothing of."""
    plan = SamplePlan.squares(torch.tensor([[40.0, 30.0], [20.0, 50.0]]), torch.tensor([24.0, 60.0]), 8)

    def adopt() -> torch.Tensor:
        window = glcontext.get_backend_by_name("egl")(mode="standalone", glversion=430, device_index=0)
        context = adopt_context(LoopThread())
        with GLUnit(context=context) as unit, unit.pyramid(white_noise(64, 96)) as pyramid:
            pixels = unit.sample(pyramid, plan).pixels
        context.close()
        with CurrentContext():  # or it raises
            window.release()
        return pixels

    pixels = on_a_thread(adopt)
    with TwinUnit() as twin, twin.pyramid(white_noise(64, 96)) as pyramid:
        torch.testing.assert_close(pixels, twin.sample(pyramid, plan).pixels, atol=2 / 255, rtol=0)


def test_a_thread_without_a_context_is_told_what_both_answered() -> None:
    with pytest.raises(
        BackendUnavailableError, match=r"EGL has no current context on this thread; OpenGL 4.3 is needed"
    ):
        on_a_thread(lambda: adopt_context(LoopThread()))
