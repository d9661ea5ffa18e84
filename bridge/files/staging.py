"""A folder of files that are not in their place yet, and how they get there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import save
from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows: there nothing is ever taken for abandoned
    fcntl = None  # type: ignore[assignment]

PREFIX = ".homunculus-"
# Inside such a folder: what is being written; the same once all of it is on the disk; what it replaces; what goes without being replaced.
NEW, WHOLE, OLD, GONE = "new", "whole", "old", "gone"


class Staging:
    """An empty folder, whose files will replace those of the same names elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where something else, such as a video's encoder, may write the file of that name."""
        return self.folder / name

    def data(self, name: str, content: bytes) -> None:
        self.path(name).write_bytes(content)

    def text(self, name: str, text: str) -> None:
        """In UTF-8, lines ending with a line feed alone."""
        self.data(name, text.encode())

    def json(self, name: str, value: Any, *, indent: int | None = 2, ascii: bool = True) -> None:
        """Raises ValueError for a number that JSON lacks. ascii: other letters as escapes."""
        self.text(name, json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=ascii) + "\n")

    def tensors(self, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
        """As safetensors, from any device."""
        held = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        self.data(name, save(held, None if metadata is None else dict(metadata)))

    def picture(self, name: str, picture: Image.Image, **options: Any) -> None:
        """options: as Pillow's `save` takes them. The name's ending says the format where they do not."""
        picture.save(self.path(name), **options)

    def figure(self, name: str, figure: Any, **options: Any) -> None:
        """A figure of matplotlib; options as its `savefig` takes them."""
        figure.savefig(self.path(name), **options)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder inside `target` for Staging and `install`; removed at the end. A folder elsewhere might be on another file system."""
    with _locked(target, wait=True) as alone, ExitStack() as stack:
        if alone:  # nobody is just making such a folder, so one that is not locked has lost its process
            _sweep(target)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=target))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_locked(folder))
        (folder / NEW).mkdir()
        held = stack.pop_all()
    with held:
        yield folder


def _sweep(target: Path) -> None:
    """Removes what killed processes left in a folder, after putting in place what they had written whole."""
    for folder in target.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(folder) as abandoned:
            if abandoned and not folder.is_symlink():
                if (folder / WHOLE).is_dir():
                    _exchange(folder, target)
                shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process holds it alone, until it goes on or ends in whatever way. False where folders cannot be locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except (OSError, AttributeError):
            held = False
        try:
            yield held
        finally:
            if held:  # told, since a child that was forked meanwhile may have it open too
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process alone holds a file, which is made for that and goes again. True where files cannot be locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        except AttributeError:
            break
        except OSError:
            os.close(descriptor)
            yield False
            return
        os.close(descriptor)  # of one that has just gone
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def install(folder: Path, target: Path, superseded: Sequence[str]) -> None:
    """Moves the new files of `staged`'s folder to `target` and takes the superseded ones away: all of it or, on a failure, nothing.

    A process that is killed meanwhile leaves either what was there or what `sweep` completes; no file is ever in part.
    """
    new, gone = folder / NEW, folder / GONE
    names = sorted(os.listdir(new))
    for name in names:
        if os.path.lexists(target / name) and not (target / name).is_file():
            kind = "folder" if (target / name).is_dir() else "device, a pipe or a broken link"
            raise IsADirectoryError(
                f"{target / name} is a {kind} where a file is to be written; move it or write elsewhere"
            )
        _sync(new / name)
    (folder / OLD).mkdir()
    gone.mkdir()
    for name in set(superseded).difference(names):
        (gone / name).touch()
    for part in (new, gone):
        _sync(part)
    os.rename(new, folder / WHOLE)
    _sync(folder)
    try:
        with _locked(target, wait=True):
            _exchange(folder, target)
    except BaseException:
        _restore(folder, target, names)
        raise
    _sync(target)


def _exchange(folder: Path, target: Path) -> None:
    """Can be stopped anywhere and called again."""
    old, gone, whole = folder / OLD, folder / GONE, folder / WHOLE
    for name in sorted(os.listdir(gone)):
        with suppress(FileNotFoundError):
            os.replace(target / name, old / name)
    for name in sorted(os.listdir(whole)):
        _keep(target / name, old / name)
        os.replace(whole / name, target / name)


def _keep(path: Path, kept: Path) -> None:
    """The old file gets a second name, so that its place is never empty; where there are no hard links it is moved."""
    try:
        os.link(path, kept, follow_symlinks=False)
    except (FileNotFoundError, FileExistsError):
        pass
    except OSError:
        with suppress(FileNotFoundError):
            os.replace(path, kept)


def _restore(folder: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (folder / WHOLE / name).exists() and not os.path.lexists(folder / OLD / name):
            (target / name).unlink(missing_ok=True)
    for name in os.listdir(folder / OLD):
        os.replace(folder / OLD / name, target / name)
    os.rename(folder / WHOLE, folder / NEW)  # so that nobody takes it up again


def _sync(path: Path) -> None:
    """Waits until the disk has it."""
    folder = path.is_dir()
    with suppress(OSError) if folder else nullcontext():  # of folders some file systems cannot tell
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
