"""Which channels of a stream are the gaze, and in what space, by what the stream says of itself: the content type Gaze of XDF's meta-data
(github.com/sccn/xdf/wiki/Gaze-Meta-Data), or labels where there are no types."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from homunculus.bridge.errors import DataError
from homunculus.relevance.gaze.sample import LEAST_CONFIDENCE, Frame, GazeSpace, Point, Unit

OTHERWISE = "--gaze-in says otherwise"
REMEDY = (
    "give each channel a <type> (ScreenX, ScreenY, Confidence) and a <unit> (normalized or pixels) when the outlet is made, or choose "
    "another stream: --gaze lsl:NAME"
)
FARTHEST = 2e4  # no screen is so wide; trackers mark a lost eye by numbers beyond
FRACTIONS = 2.0  # what lies beyond is in pixels, where no unit is said
_UNITS: dict[str, Unit] = {
    **dict.fromkeys(("normalized", "normalised", "norm", "fraction"), "fraction"),
    **dict.fromkeys(("pixels", "pixel", "px"), "px"),
}
_FRAMES: dict[str, Frame] = {"window": "window", "picture": "picture", "image": "picture", "stimulus": "picture"}
_NOT_GAZE = {
    "pupil", "diameter", "radius", "area", "origin", "center", "center0", "center1", "normal", "direction", "3d", "head", "camera",
    "degree", "velocity", "position",
}  # fmt: skip
_WORDS = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])|\d+[a-z]?")


@dataclass(frozen=True)
class ToldChannel:
    """What a stream says of one channel; empty where it says nothing."""

    label: str = ""
    eye: str = ""
    type: str = ""
    unit: str = ""
    coordinate_system: str = ""

    @property
    def words(self) -> set[str]:
        """Of its label, in lower case."""
        return {
            word.lower() for word in _WORDS.findall(re.sub(r"(gaze|screen|pos|eye)([xyXY])$", r"\1_\2", self.label))
        }

    @property
    def axis(self) -> str:
        """x or y of where the eye looks, by the type, or by the label where there is none."""
        if self.type.lower() in ("screenx", "screeny"):
            return self.type[-1].lower()
        axes = self.words & {"x", "y"}
        typed = self.type.lower() not in ("", "gaze", "eyetracking", "eye", "misc")
        return "" if typed or self.words & _NOT_GAZE or len(axes) != 1 else axes.pop()

    @property
    def confident(self) -> bool:
        return "confidence" in (self.type.lower(), *self.words)

    @property
    def whose(self) -> str:
        """left, right or both."""
        named = {self.eye.lower()} | (self.words if not self.eye else set())
        return "left" if "left" in named else "right" if "right" in named else "both"


def told_channels(xml: str) -> list[ToldChannel]:
    """Of a stream's whole description, as liblsl gives it. Raises DataError for what is no XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise DataError(f"the stream's description is no XML ({error}); {REMEDY}") from None
    names = ToldChannel.__dataclass_fields__
    return [
        ToldChannel(**{name: (channel.findtext(name) or "").strip() for name in names})
        for channel in root.iterfind("desc/channels/channel")
    ]


@dataclass(frozen=True)
class GazeChannels:
    """Where in a sample the gaze stands. eyes: the columns of x, y and confidence of each eye; -1 where it has no confidence. space: of
    the numbers. unsaid: whether its unit is still to be guessed from the first numbers. camera: whether a camera on the head is meant."""

    stream: str
    eyes: tuple[tuple[int, int, int], ...]
    space: GazeSpace
    asked: bool = False
    unsaid: bool = False
    camera: bool = False

    @classmethod
    def of(cls, stream: str, channels: Sequence[ToldChannel], count: int, space: GazeSpace | None) -> GazeChannels:
        """space: what the person says of it, or None. Raises DataError where no channels of gaze are found, or in no unit of a screen."""
        channels = channels[:count]
        by_eye = {eye: _columns(channels, eye) for eye in ("both", "left", "right")}
        eyes = [by_eye["both"]] if by_eye["both"] else [by_eye["left"], by_eye["right"]]
        found = tuple(columns for columns in eyes if columns)
        if not found:
            told = ", ".join(channel.type or channel.label or "?" for channel in channels[:12])
            has = f"has channels {told}" if told else f"describes none of its {count} channels"
            raise DataError(f"the stream {stream!r} {has}, and none for x and y of a gaze; {REMEDY}")
        if space is not None:
            return cls(stream, found, space, asked=True)
        x = channels[found[0][0]]
        unit, system = _UNITS.get(x.unit.lower()), x.coordinate_system.lower()
        if x.unit and unit is None:
            raise DataError(
                f"the gaze of {stream!r} is in {x.unit!r}; it must be in pixels or normalized, or --gaze-in must say what it is"
            )
        camera = "world" in system
        frame: Frame = next((frame for word, frame in _FRAMES.items() if word in system), "screen")
        up = unit == "fraction" and (camera or "surface" in system)  # as Pupil's relays send it
        return cls(stream, found, GazeSpace(frame, unit or "fraction", up), unsaid=unit is None, camera=camera)

    def heard(self, point: Point) -> GazeChannels:
        """Once the first numbers that are no blink's are known: in pixels where they are too large for fractions and nothing says which."""
        if not self.unsaid or math.isnan(point[0]):
            return self
        unit: Unit = "px" if max(map(abs, point)) > FRACTIONS else "fraction"
        return replace(self, space=replace(self.space, unit=unit), unsaid=False)

    @property
    def remark(self) -> str:
        """How the numbers are read, where nobody has said it; empty where somebody has."""
        if self.asked or self.unsaid:
            return ""
        unit = "fractions" if self.space.unit == "fraction" else "pixels"
        camera = "; it is of a camera on the head, map it to a surface first" if self.camera else ""
        up = "up" if self.space.up else "down"
        return f"gaze of {self.stream!r} read as {unit} of the {self.space.frame}, y {up}{camera}; {OTHERWISE}"

    def point(self, sample: Sequence[float]) -> tuple[Point, float]:
        """The mean of the eyes that are seen and sure enough, or else of those that are seen, NaN where none is; and the greatest
        confidence in them: 1 where the stream tells none, 0 where no eye is seen."""
        seen = [
            (_sure(sample, column), sample[x], sample[y])
            for x, y, column in self.eyes
            if not _lost(sample[x], sample[y])
        ]
        if not seen:
            return (math.nan, math.nan), 0.0
        best = max(seen)[0]
        sure = [(x, y) for confidence, x, y in seen if confidence >= min(best, LEAST_CONFIDENCE)]
        return (sum(x for x, _ in sure) / len(sure), sum(y for _, y in sure) / len(sure)), best


def _sure(sample: Sequence[float], column: int) -> float:
    confidence = sample[column] if column >= 0 else 1.0
    return confidence if math.isfinite(confidence) else 0.0


def _columns(channels: Sequence[ToldChannel], eye: str) -> tuple[int, int, int] | None:
    """The first of each kind; the confidence in both eyes serves each."""
    x, y = (next((i for i, c in enumerate(channels) if c.whose == eye and c.axis == axis), -1) for axis in "xy")
    sure = [[i for i, c in enumerate(channels) if c.confident and c.whose == whose] for whose in (eye, "both")]
    return None if min(x, y) < 0 else (x, y, next(iter([*sure[0], *sure[1]]), -1))


def _lost(x: float, y: float) -> bool:
    """Whether numbers mark an eye that was not seen: not finite, beyond any screen, or twice the same number that is not above 0."""
    return not (abs(x) < FARTHEST and abs(y) < FARTHEST) or (x == y and x <= 0)
