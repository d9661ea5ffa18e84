"""The browsers that look, or looked a moment ago: whose page is gone has its session kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeVar

from homunculus.bridge.errors import BackendUnavailableError, ClosedError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.viewer.serving.screen import Screen
from homunculus.viewer.session import Session

KEPT_S = 300.0
MOST = 8  # sessions: each holds a pyramid
T = TypeVar("T")


class Visit:
    """One browser's. link: its socket; None while it is away, since `left_s`."""

    def __init__(self, shown: Any, screen: Screen) -> None:
        self.shown, self.screen = shown, screen
        self.link: Any = None
        self.left_s = monotonic()


class Visits:
    """By what is shown and by the browser's id. Used on the server's event loop; what takes time is done beside it."""

    def __init__(self, unit: GLUnit, kept_s: float = KEPT_S) -> None:
        self._unit, self.kept_s = unit, kept_s
        self._by_id: dict[tuple[Any, str], Visit] = {}
        self._first: dict[Any, Session] = {}
        self._making = asyncio.Lock()
        self._tasks: set[Any] = set()
        self._pool = ThreadPoolExecutor(2, "homunculus-screens")  # one draws while another encodes

    @property
    def count(self) -> int:
        """How many sessions there are for browsers."""
        return len(self._by_id)

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """What the work gives, done beside the loop. Raises ClosedError where the process ends."""
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except RuntimeError:
            raise ClosedError("the program that shows this has ended; start it again") from None
        return await future

    def keep_for_first(self, shown: Any, session: Session) -> None:
        """The session that proved that one can be made is the first browser's."""
        self._first[shown] = session

    async def enter(self, shown: Any, id: str, link: Any) -> Visit:
        """A browser comes, or comes back. Raises what making a session raises, and BackendUnavailableError where too many look."""
        async with self._making:
            visit = self._by_id.get((shown, id))
            if visit is None:
                await self._make_room()
                session = self._first.pop(shown, None) or await self._made(shown)
                visit = self._by_id[shown, id] = Visit(shown, Screen(session, fixed=shown.size is not None))
            before, visit.link = visit.link, link
        if before is not None:
            await before.refuse(4001, "opened in another place")
        return visit

    async def _made(self, shown: Any) -> Session:
        made: Session = await self.beside(self._unit.context.thread.call, shown.make, self._unit, shown.size or (1, 1))
        return made

    async def _make_room(self) -> None:
        if len(self._by_id) < MOST:
            return
        away = [visit for visit in self._by_id.values() if visit.link is None]
        if not away:
            raise BackendUnavailableError(f"{MOST} browsers look already", "close one of them")
        await self.end(min(away, key=lambda visit: visit.left_s))

    def leave(self, visit: Visit, link: Any) -> None:
        """A connection is gone. The session waits for its browser."""
        if visit.link is link:
            visit.link, visit.left_s = None, monotonic()
            asyncio.get_running_loop().call_later(self.kept_s, self._expire, visit, visit.left_s)

    def _expire(self, visit: Visit, left_s: float) -> None:
        if visit.link is None and visit.left_s == left_s:
            self._later(self.end(visit))

    async def end(self, visit: Visit) -> None:
        """Frees a session."""
        for key in [key for key, one in self._by_id.items() if one is visit]:
            del self._by_id[key]
        await self.beside(visit.screen.close)

    def forget(self, shown: Any) -> None:
        """Ends all of what is shown no longer."""
        session = self._first.pop(shown, None)
        if session is not None:
            self._later(self.beside(self._unit.context.thread.call, session.close))
        for visit in [visit for visit in self._by_id.values() if visit.shown is shown]:
            if visit.link is not None:
                self._later(visit.link.refuse(4000, "closed by the program that showed it"))
            self._later(self.end(visit))

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Frees every session. Once the loop has ended."""
        self._pool.shutdown()
        for session in self._first.values():
            self._unit.context.thread.call(session.close)
        for visit in self._by_id.values():
            visit.screen.close()
        self._first.clear()
        self._by_id.clear()
