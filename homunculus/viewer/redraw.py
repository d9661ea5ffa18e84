"""Which moment of a session was drawn last, and so whether there is anything new to draw."""

from __future__ import annotations

from homunculus.viewer.session import Session


class Redraw:
    """For whoever shows a session: a frame is drawn where it would differ from the last."""

    def __init__(self) -> None:
        self._last: object = None

    def differs(self, session: Session) -> bool:
        """By where the gaze is now."""
        session.look()
        return session.pending or session.fingerprint != self._last

    def keep(self, session: Session) -> None:
        """Its present moment is drawn."""
        self._last = session.fingerprint
