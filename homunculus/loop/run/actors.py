"""A crew of Ray's actors: its workers, on however many machines, in place of `bridge.processes`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any

import torch

from homunculus.bridge.errors import ProcessError
from homunculus.bridge.processes import Lost, Members

START_S, END_S = 300.0, 5.0
INSTALLED = "is the same homunculus installed on every machine, and do they have memory?"
DONE, RAISED = "done", "raised"


class Actor:
    """What lives in a worker of Ray's. Its own errors come back as results: Ray would make types of its own of them."""

    def __init__(self, opened: Callable[[], Any], threads: int) -> None:
        self._opened, self._threads, self._stack = opened, threads, ExitStack()

    def here(self) -> None:
        """Answers as soon as there is a process, before anything is opened in it."""

    def open(self) -> tuple[str, Any]:
        return _told(self._open)

    def do(self, piece: Any) -> tuple[str, Any]:
        return _told(self._answer, piece)

    def close(self) -> None:
        self._stack.close()

    def _open(self) -> Any:
        torch.set_num_threads(self._threads)
        self._answer = self._stack.enter_context(self._opened())
        return getattr(self._answer, "facts", None)


class Actors(Members[Any, Any]):
    """So many actors, each with what `opened` opens; see `Crew`. Ray is connected already.

    needs: what each asks of the cluster, such as {"CPU": 0.5}; its place is kept until the crew is closed, so that one that died can be
    replaced. threads: of torch, in each. wait_s: so long do they wait for the places. Raises what `opened` raises there, and ProcessError
    where there are no places, or an actor does not start or dies before it is open.
    """

    def __init__(
        self, opened: Callable[[], Any], count: int, needs: Mapping[str, float], *, threads: int = 1, wait_s: float = 60
    ) -> None:
        ray: Any = import_module("ray")
        self._ray, self._arguments = ray, (opened, threads)
        self._places: dict[Any, int] = {}  # of members
        options = {f"num_{name.lower()}s": number for name, number in needs.items()}
        # Nothing is ever repeated by Ray: a deadly row would kill one actor after the other.
        self._kind = ray.remote(max_restarts=0, max_task_retries=0, **options)(Actor)
        self._group = ray.util.placement_group([dict(needs)] * count)
        try:
            if not self._group.wait(wait_s):
                raise ProcessError(self._no_place(count, needs, wait_s))
            self.facts = self._opened(range(count))
        except BaseException:
            self._kill()
            raise

    @property
    def members(self) -> list[Any]:  # type: ignore[override]
        return list(self._places)

    def _no_place(self, count: int, needs: Mapping[str, float], wait_s: float) -> str:
        asked = " and ".join(f"{number:g} {name}" for name, number in needs.items())
        free = self._ray.available_resources()
        told = " and ".join(f"{free.get(name, 0):g} {name}" for name in needs)
        return (
            f"in {wait_s:g} s Ray found no place for {count} workers of {asked} each, and {told} are free; wait until other work "
            "on the cluster has ended, or give fewer workers"
        )

    def _opened(self, places: Iterable[int]) -> list[Any]:
        """Starts one at each place, and waits until they are open; their facts."""
        strategies: Any = import_module("ray.util.scheduling_strategies")
        new: list[Any] = []
        for place in places:
            strategy = strategies.PlacementGroupSchedulingStrategy(self._group, place)
            new.append(self._kind.options(scheduling_strategy=strategy).remote(*self._arguments))
            self._places[new[-1]] = place
        started = [member.here.remote() for member in new]
        opening = [member.open.remote() for member in new]
        late = self._ray.wait(started, num_returns=len(new), timeout=START_S)[1]
        if late:
            raise ProcessError(
                f"{len(late)} workers have a place in the cluster and did not start in {START_S:g} s; {INSTALLED}"
            )
        found = [self._result(one) for one in opening]
        for one in found:
            if isinstance(one, Lost):
                raise ProcessError(f"a worker {one.told} before it was open; {INSTALLED}")
        return found

    def _result(self, reference: Any) -> Any:
        try:
            kind, value = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            return Lost("died")
        except self._ray.exceptions.RayError as error:
            raise ProcessError(
                f"Ray failed: {str(error).strip().splitlines()[0]}; run it again, and it goes on"
            ) from error
        if kind == RAISED:
            raise value
        return value

    def _ask(self, member: Any, piece: Any) -> Any:
        return member.do.remote(piece)

    def _answered(self, asked: list[Any]) -> list[Any]:
        return list(self._ray.wait(asked, num_returns=1)[0])

    def _replaced(self, member: Any) -> Any:
        self._opened([self._places.pop(member)])
        return self.members[-1]

    def _kill(self) -> None:
        with suppress(self._ray.exceptions.RayError):
            for member in self._places:
                self._ray.kill(member)
            self._ray.util.remove_placement_group(self._group)
        self._places = {}

    def close(self) -> None:
        if self._places:
            closing = [member.close.remote() for member in self._places]
            self._ray.wait(closing, num_returns=len(closing), timeout=END_S)
            self._kill()


def _told(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    try:
        return DONE, function(*arguments)
    except Exception as error:
        try:
            pickle.dumps(error)
        except Exception:  # errors of other libraries may hold what cannot be sent
            return RAISED, ProcessError(f"{type(error).__name__}: {error}; it happened in a worker")
        return RAISED, error
