"""A guide that looks beside the window."""

from __future__ import annotations

from collections.abc import Callable

from homunculus.viewer.guide import Guidance, Guide
from homunculus.viewer.latest import Latest
from homunculus.viewer.playlist import Shown


class Guided:
    """Asks a guide on a thread of its own; says what becomes of it. Without a guide it says so."""

    def __init__(self, guide: Guide | None, say: Callable[[str], None]) -> None:
        self._say = say
        self._asked: Latest[tuple[Shown, str, int], Guidance] | None = None
        if guide is not None:
            look = guide.look
            self._asked = Latest(lambda asked: look(*asked[:2]), "homunculus-guide")

    @property
    def busy(self) -> bool:
        return self._asked is not None and self._asked.busy

    @property
    def ready(self) -> bool:
        return self._asked is not None and self._asked.ready

    def ask(self, shown: Shown, query: str, version: int) -> None:
        """version: of the picture and its maps."""
        if self._asked is None:
            self._say("no model and no map say where to look; start with --relevance map.npy")
        elif self._asked.busy:
            self._say("still looking")
        else:
            self._asked.ask((shown, query, version))
            self._say(f"looking for {query!r}" if query else "looking, without a query")

    def heard(self, version: int) -> Guidance | None:
        """Its answer, once, unless it failed or was asked about another version."""
        heard = self._asked.poll() if self._asked is not None else None
        if heard is None:
            return None
        (_, _, asked), answer = heard
        if isinstance(answer, Exception):
            self._say(f"the model could not look: {answer}")
            return None
        if asked != version:
            return None
        self._say(f"{len(answer.fixations_px)} fixations; 4 shows why")
        return answer

    def close(self) -> None:
        """Waits for nobody."""
        if self._asked is not None:
            self._asked.close(wait_s=0)
