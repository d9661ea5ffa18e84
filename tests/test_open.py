"""Which backend `auto` takes and what it says, with stand-ins for the backends of a machine that has CUDA."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
import torch

import homunculus.bridge.open as opening
from homunculus.bridge.backends import BACKENDS, BackendRow
from homunculus.bridge.errors import BackendUnavailableError, CudaError
from homunculus.bridge.open import open_unit

Make = Callable[..., "StandInUnit"]


class StandInUnit:
    """Not a unit: a name, a reason, and whether it was closed."""

    made: list["StandInUnit"] = []  # noqa: RUF012

    def __init__(self, backend: str, reason: str, **options: Any) -> None:
        self.backend, self.reason, self.options, self.closed = backend, reason, options, False
        self.made.append(self)

    def close(self) -> None:
        self.closed = True


class StandInRow(BackendRow):
    """The row of a backend, whose units are made otherwise."""

    def __init__(self, row: BackendRow, make: Make) -> None:
        super().__init__(**vars(row))
        object.__setattr__(self, "make", make)

    def load(self) -> Any:
        return self.make  # type: ignore[attr-defined]


def put(monkeypatch: pytest.MonkeyPatch, name: str, make: Make) -> None:
    row = {field.name: getattr(BACKENDS[name], field.name) for field in fields(BackendRow)}
    monkeypatch.setitem(BACKENDS, name, StandInRow(BackendRow(**row), make))


@pytest.fixture(autouse=True)
def a_machine_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    StandInUnit.made.clear()
    monkeypatch.setattr(opening, "_faster", {})
    monkeypatch.delenv("HOMUNCULUS_BACKEND", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(opening, "cuda_ordinal", lambda device=None: 0)
    for name in BACKENDS:
        put(monkeypatch, name, partial(StandInUnit, name))


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:

        def make(name: str = name, **options: Any) -> StandInUnit:
            raise BackendUnavailableError(f"{name} is off", "the remedy")

        put(monkeypatch, name, make)


@pytest.mark.parametrize(
    ("times", "winner", "loser"), [([50.0, 90.0], "gl-cuda", "cuda"), ([90.0, 50.0], "cuda", "gl-cuda")]
)
def test_the_faster_of_two_is_taken_and_said(
    monkeypatch: pytest.MonkeyPatch, times: list[float], winner: str, loser: str
) -> None:
    monkeypatch.setattr(opening, "image_to_patches_us", lambda units: times)
    unit = open_unit()
    assert unit.backend == winner
    assert unit.reason == f"the faster here: 1024 x 1024 px to 273 patches in 50 us, {loser} in 90 us"
    assert {made.backend: made.closed for made in StandInUnit.made} == {winner: False, loser: True}
    monkeypatch.setattr(opening, "image_to_patches_us", lambda units: pytest.fail("raced twice"))
    again = open_unit()
    assert (again.backend, again.reason) == (unit.backend, unit.reason)


@pytest.mark.parametrize(("off", "on"), [("gl-cuda", "cuda"), ("cuda", "gl-cuda")])
def test_the_one_that_works_is_taken_and_why_not_the_other(monkeypatch: pytest.MonkeyPatch, off: str, on: str) -> None:
    refuse(monkeypatch, off)
    unit = open_unit()
    assert (unit.backend, unit.reason) == (on, f"works here; {off}: {off} is off. The remedy")


def test_it_falls_from_floor_to_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "gl-cuda", "cuda")
    unit = open_unit()
    assert unit.backend == "gl"
    assert "gl-cuda is off" in unit.reason
    assert "cuda is off" in unit.reason
    refuse(monkeypatch, "gl")
    unit = open_unit()
    assert unit.backend == "torch"
    assert unit.reason.startswith("gl: gl is off. The remedy; gl-cuda: ")


def test_a_unit_that_opens_and_then_fails_at_work_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(units: object) -> list[float]:
        raise CudaError("cudaGraphicsMapResources answered cudaErrorUnknown")

    monkeypatch.setattr(opening, "image_to_patches_us", fail)
    unit = open_unit()
    assert unit.backend == "gl"
    assert "cudaErrorUnknown" in unit.reason
    assert all(made.closed for made in StandInUnit.made if made is not unit)


def test_options_go_where_they_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "image_to_patches_us", lambda units: [1.0, 2.0])
    open_unit(device="cuda", device_index=3)
    options = {made.backend: made.options for made in StandInUnit.made}
    assert options == {"gl-cuda": {"device": "cuda", "device_index": 3}, "cuda": {"device": "cuda"}}
    unit = open_unit(device="cpu", device_index=3)
    assert (unit.backend, unit.options) == ("gl", {"device_index": 3})  # type: ignore[attr-defined]
    assert "device is cpu" in unit.reason
    assert open_unit(dtype=torch.float64).backend == "torch"


def test_argument_and_environment_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "cuda")
    assert open_unit().reason == "asked for by HOMUNCULUS_BACKEND"
    assert open_unit("gl-cuda").reason == "asked for by argument"
    refuse(monkeypatch, "cuda")
    with pytest.raises(BackendUnavailableError, match=r"cuda is off\. The remedy"):
        open_unit()
