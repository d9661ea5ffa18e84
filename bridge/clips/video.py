"""Videos in: frames one after the other, upright, with the time stamps that the file gives them."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from homunculus.bridge.clips.extent import missing_bytes
from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.errors import BackendUnavailableError, ImageError, ImageReadError, ImageTooLargeError
from homunculus.bridge.files.reading import check_file, refusing
from homunculus.bridge.pictures.files import expanded
from homunculus.bridge.pictures.planes import HD_ROWS, Planes
from homunculus.bridge.pictures.turning import Array, turned
from homunculus.bridge.values import flag, number, whole

CAMERA = re.compile(r"camera:(\d+)")
# By FFmpeg's names. Not what leads to other files or into the net (playlists), nor single pictures.
CONTAINERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,flv,asf,ogg,ivf,h264,hevc,obu,mxf,nut,yuv4mpegpipe"
_FILES = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
CONVERT = "fetch it again, or convert it: ffmpeg -i VIDEO whole.mp4"
PICTURE = "pictures are read by read_image"
RATE_HZ = 25  # where nothing says one
_UNSAID = 2  # of FFmpeg's AVColorSpace
EARLY_S = 1e-9  # what is shown at start_s is not too early by rounding

Frames: TypeAlias = "Generator[VideoFrame, None, None]"


def import_av() -> Any:
    """PyAV. Raises BackendUnavailableError with the remedy."""
    try:
        import av
    except ImportError as error:
        raise BackendUnavailableError(f"videos and cameras need PyAV ({error}); run: pip install av") from None
    return av


def opened(path: str) -> Any:
    """PyAV's container of a video, or of `camera:0` and its like. Raises ImageReadError for what it cannot open."""
    av = import_av()
    if camera := CAMERA.fullmatch(path):
        with refusing(
            f"{path} cannot be opened", ImageReadError, "is a camera of this number there, and may you use it?"
        ):
            return av.open(f"/dev/video{camera[1]}", format="v4l2")
    check_file(path, "video", ImageReadError)
    kinds = "MP4, MOV, Matroska, WebM, AVI, MPEG and others"
    with refusing(
        f"{path} is no video that can be read ({kinds}){_lack(path)}", ImageReadError, f"{CONVERT}; {PICTURE}"
    ):
        return av.open(f"file:{path}", options=dict(_FILES), metadata_errors="replace")


def upright(frame: Any) -> Array:
    """uint8 [H, W, 3] of PyAV's frame as players show it: mirrored and turned by the nearest quarter as its display matrix says; where it
    does not say what its colours are, by BT.709 from 720 rows on and by BT.601 below."""
    told = {"src_colorspace": "ITU709"} if int(frame.colorspace) == _UNSAID and frame.height >= HD_ROWS else {}
    return np.ascontiguousarray(turned(frame.to_ndarray(format="rgb24", **told), orientation_of(frame)))


def orientation_of(frame: Any) -> int:
    """How PyAV's frame is to be turned, 1 to 8 as EXIF counts; 1 where it stands upright."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    # Rows of fixed-point numbers: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 8.3.2).
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    sideways = abs(b) + abs(c) > abs(a) + abs(d)
    mirrored, flipped = (c < 0, b < 0) if sideways else (a < 0, d < 0)
    return ((5, 8, 6, 7) if sideways else (1, 4, 2, 3))[2 * mirrored + flipped]


def read_video(
    path: str | os.PathLike[str],
    *,
    start_s: float = 0.0,
    every: int = 1,
    frames: int | None = None,
    planes: bool = False,
) -> Frames:
    """The frames of a video, decoded one by one as they are asked for. Needs PyAV, the extra `video`.

    start_s: the first frame is the first that is shown then or later. every: of so many frames one is given. frames: at most so many.
    planes: luma and chroma as they are decoded (`Planes`, for a clip of format `nv12`) in place of RGB, of a video that is stored upright
    in 4:2:0.

    A frame's `time_s` is what the file says of it, counted from the file's first: a rate that varies stays. Times ascend: what has no time
    stamp comes a frame's time after the frame before it, what has the same or an earlier one half of that. `number` counts the frames
    that are given. A video that is to be shown turned or mirrored is. The file is closed after the last frame, by the generator's
    `close`, or when nobody holds that.

    Raises ImageReadError, at the first frame where it can be known and else after all good frames, for what is missing, no video,
    without frames, damaged, truncated, of frames of several sizes, or without such planes; ImageError for numbers that cannot be;
    BackendUnavailableError without PyAV.

    >>> frames = hm.read_video("no such file.mp4")
    >>> next(frames)
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ImageReadError: ...
    """
    start_s = number("start_s", start_s, 0.0, refusal=ImageError)
    every = whole("every", every, refusal=ImageError)
    most = None if frames is None else whole("frames", frames, refusal=ImageError)
    return _given(
        str(expanded(path)), start_s, every, most, _planes if flag("planes", planes, refusal=ImageError) else upright
    )


def frames_told(path: str | os.PathLike[str], every: int = 1) -> int | None:
    """How many frames `read_video` will give by what the file says, which may be wrong; None where it does not say."""
    name = str(expanded(path))
    with opened(name) as container:
        stream = _stream(name, container)
        rate, lasts = stream.average_rate or stream.guessed_rate, container.duration
        count = stream.frames or (round(lasts * rate / 1_000_000) if lasts and rate else 0)
    return -(-count // every) or None


def _planes(frame: Any) -> Planes:
    if orientation_of(frame) != 1:
        raise ImageError("it is to be shown turned or mirrored, and planes are not; read it without planes")
    return Planes.of_av(frame)


def _given(
    path: str, start_s: float, every: int, most: int | None, image_of: Callable[[Any], Array | Planes]
) -> Frames:
    size: tuple[int, int] | None = None
    given = 0
    with closing(_timed(path, start_s)) as timed:
        for place, (frame, time_s) in enumerate(timed):
            if place % every:
                continue
            _check_pixels(path, frame)
            image = _image(path, place, frame, image_of)
            found = image.size if isinstance(image, Planes) else (image.shape[0], image.shape[1])
            if found != (size or found):
                raise ImageReadError(
                    f"{path}: frame {place} is {_told(found)}, and those before it {_told(size or found)}; make all alike: "
                    "ffmpeg -i VIDEO -vf scale=WIDTH:HEIGHT whole.mp4"
                )
            size = found
            yield VideoFrame(image, time_s, given)
            given += 1
            if given == most:
                return


def _image(path: str, place: int, frame: Any, image_of: Callable[[Any], Array | Planes]) -> Array | Planes:
    with refusing(f"{path}, frame {place} cannot be converted", ImageReadError, CONVERT):
        try:
            return image_of(frame)
        except ImageError as error:
            raise ImageReadError(f"{path}, frame {place}: {error}") from error


def _timed(path: str, start_s: float) -> Generator[tuple[Any, float], None, None]:
    """Every frame from start_s on, and when it is shown. Raises ImageReadError where there is none."""
    last_s: Fraction | None = None
    any_frame = False
    with closing(_decoded(path, start_s)) as decoded:
        for frame, stamp_s, lasts_s in decoded:
            if last_s is None:
                last_s = stamp_s or Fraction(0)
            elif stamp_s is None:
                last_s += lasts_s
            else:
                last_s = stamp_s if stamp_s > last_s else last_s + lasts_s / 2
            if last_s >= start_s - EARLY_S:
                any_frame = True
                yield frame, float(last_s)
    if last_s is None:
        raise ImageReadError(f"{path} has no frame; {CONVERT}")
    if not any_frame:
        raise ImageReadError(
            f"{path} has no frame at or after {start_s:g} s, its last is at {float(last_s):.3f} s; give an earlier start_s"
        )


def _decoded(path: str, start_s: float) -> Generator[tuple[Any, Fraction | None, Fraction], None, None]:
    """Frames from the last key frame before start_s on, or all; when by their time stamps, and how long one lasts at the video's rate."""
    with opened(path) as container:
        stream = _stream(path, container)
        rate = stream.average_rate or stream.guessed_rate
        lasts_s = 1 / Fraction(rate or RATE_HZ)
        first = stream.start_time
        if sought := start_s > 0 and first is not None and bool(stream.time_base):
            with refusing(f"{path} cannot be read from {start_s:g} s on", ImageReadError, "read it from its beginning"):
                container.seek(first + int(start_s / stream.time_base), stream=stream)
        for frame in _frames(path, container, stream):
            first = frame.pts if first is None else first
            stamp_s = None if frame.pts is None else (frame.pts - first) * Fraction(stream.time_base)
            if sought and (stamp_s is None or stamp_s > start_s):  # that was no key frame before it
                break
            sought = False
            yield frame, stamp_s, lasts_s
    if sought:
        yield from _decoded(path, 0.0)


def _stream(path: str, container: Any) -> Any:
    """The first that is no picture of a cover."""
    cover = import_av().stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            if stream.codec_context is None:
                raise ImageReadError(f"{path} is of a kind that this PyAV cannot decode; {CONVERT}")
            stream.thread_type = "SLICE"  # whole frames in threads would be decoded before anybody asks for them
            return stream
    kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
    raise ImageReadError(f"{path} has no pictures, it holds {', '.join(kinds)}{_lack(path)}; {CONVERT}")


def _frames(path: str, container: Any, stream: Any) -> Iterator[Any]:
    """Every good frame in the order in which they are shown. Raises ImageReadError after them."""
    packets, lack = container.demux(stream), _lack(path)
    told, problem = f"{path} is damaged or ends early{lack}", None
    while problem is None:
        packet = None
        try:
            with refusing(told, ImageReadError, CONVERT):
                packet = next(packets, None)
                found = [] if packet is None else packet.decode()
        except ImageReadError as error:
            found, problem = _held_back(stream), error
        for frame in found:
            if frame.is_corrupt:
                raise problem or ImageReadError(f"{told}; {CONVERT}")
            yield frame
        if packet is None:
            break
    if problem or lack:
        raise problem or ImageReadError(f"{told}; {CONVERT}")


def _held_back(stream: Any) -> list[Any]:
    """Whole frames that the decoder still has, since others could have come before them."""
    with suppress(Exception):  # of a decoder that broke anything comes
        return list(stream.codec_context.decode(None))
    return []


def _check_pixels(path: str, frame: Any) -> None:
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and frame.width * frame.height > most:
        raise ImageTooLargeError(
            f"{path} has frames of {frame.width} x {frame.height} px; the limit is {most} pixels. Scale it: ffmpeg -i VIDEO -vf "
            "scale=WIDTH:HEIGHT small.mp4, or, if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def _lack(path: str) -> str:
    try:
        lack = missing_bytes(Path(path))
    except OSError:
        return ""
    return f", its last {lack} bytes are missing" if lack else ""


def _told(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} px"
