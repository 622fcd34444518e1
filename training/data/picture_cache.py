"""Decode a folder of pictures once: the network's pixels, thumbnails and digests, mapped from a cache on disk.

An entry is a folder of its own: two .npy files that are mapped and not read, and `pictures.json` with the
files, their sizes, their digests, and what could not be read. Its name is a digest of everything that the
pixels depend on, so that a changed file, input or version is another entry.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image

from models.cores import usable_cores
from models.errors import PictureError
from models.folder_lock import locked
from models.pictures import decode
from models.preprocessing import Images, InputSpec, to_images
from training.data.likeness import THUMBNAIL_SIDE, Thumbnails
from training.data.picture_files import picture_bytes
from training.errors import DataError
from training.progress import time_left

Report = Callable[[str], None]
"""Told what happens, a sentence at a time."""

_VERSION = 5
"""Of this module's output; a higher one makes every entry stale."""
_CHUNK = 256
"""Pictures decoded before they are written: what is in memory at a time."""
_TOLD_EVERY_S = 5.0
_UNFINISHED, _GRACE_S = ".decoding-", 60.0
"""How the names of folders that are being filled begin, and after how many seconds they are locked for sure."""
_ARRAYS, _TABLE = ("images", "thumbnails"), "pictures.json"


@dataclass(frozen=True)
class Read:
    """One readable file.

    Attributes:
        file: path below the folder, with slashes.
        width: of the upright picture as stored, in pixels.
        height: likewise.
        bytes_digest: of the file.
        pixels_digest: of its decoded pixels: equal for one picture in two formats without loss.
    """

    file: str
    width: int
    height: int
    bytes_digest: str
    pixels_digest: str


@dataclass(frozen=True)
class Unreadable:
    """One file that is no readable picture.

    Attributes:
        file: path below the folder, with slashes.
        reason: in words.
        was_read: whether its bytes were; if not, it may be a good picture.
    """

    file: str
    reason: str
    was_read: bool = True


@dataclass(frozen=True)
class Pictures:
    """The readable files of a folder, in the order of their names, and the others.

    Attributes:
        read: of n files.
        images: uint8 (n, height, width, 3), mapped from the disk; what is written there stays in memory.
        thumbnails: uint8 (n, 32, 32, 3), the whole picture squeezed, mapped as well.
        unreadable: the other files.
    """

    read: tuple[Read, ...]
    images: Images
    thumbnails: Thumbnails
    unreadable: tuple[Unreadable, ...]


def read_pictures(root: Path, files: Sequence[str], *, spec: InputSpec, cache: Path, report: Report) -> Pictures:
    """Map the decoded pictures of a folder; decode them first if there is no good entry for them.

    A missing, stale or damaged entry is made anew. Entries appear whole or not at all, so any number of processes
    may ask for the same one at once: those who come second use the first one's. A file that could not be opened
    when an entry was made, and can be now, is told of and not taken in: a run goes on with what it began with.

    Args:
        root: the folder.
        files: paths below it, with slashes, in order.
        spec: how a picture becomes pixels; the service does the same with the same file.
        cache: folder in which `pictures` has the entries.
        report: told how far it is, where the entry lies and how large it is.

    Raises:
        DataError: the cache cannot be written.
    """
    family, key = _entry_name(root, files, spec)
    entry = _entry(cache, family, key)
    pictures = _load(entry, report)
    if pictures is not None:
        if more := _readable_by_now(root, pictures):
            why = "could not be read when the folder was decoded, and can be now"
            report(f"{more} {why}: delete {entry} to take it in")
        report(f"{len(pictures.read):,} decoded pictures are in {entry} ({_size_mb(pictures):,.1f} MB)")
        return pictures
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _sweep(entry.parent)
        with _unfinished_in(entry.parent) as made:
            _decode_all(root, files, spec=spec, target=made, report=report)
            # mapped before it gets its name: whoever found a damaged entry may put another in its place
            pictures = _load(made, report)
            if pictures is None:
                raise DataError(f"The cache {made} was damaged at once. Check the disk, or use another --cache.")
            made.chmod(entry.parent.stat().st_mode)  # that of a temporary folder is for its maker alone
            _install(made, entry)
    except OSError as error:
        raise DataError(
            f"The cache {entry.parent} cannot be written ({error}). Name another folder with --cache."
        ) from error
    _remove_older(entry, family)
    report(f"decoded {len(pictures.read):,} pictures into {entry} ({_size_mb(pictures):,.1f} MB)")
    return pictures


def has_entry(root: Path, files: Sequence[str], *, spec: InputSpec, cache: Path) -> bool:
    """Whether `read_pictures` would find an entry; that it is not damaged is not looked at."""
    return _entry(cache, *_entry_name(root, files, spec)).is_dir()


def _entry(cache: Path, family: str, key: str) -> Path:
    return cache / "pictures" / f"{family}-{key}"


@contextlib.contextmanager
def _unfinished_in(folder: Path) -> Iterator[Path]:
    """Make a folder to fill, locked where that is possible; it is deleted in the end if it still has its name."""
    with (
        tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder, ignore_cleanup_errors=True) as made,
        contextlib.ExitStack() as stack,
    ):
        with contextlib.suppress(OSError):
            stack.enter_context(locked(Path(made)))
        yield Path(made)


def _sweep(folder: Path) -> None:
    """Delete what was left by decodings that were killed: the lock on its folder dies with each."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):  # it is gone, at work, or on a file system without locks
            is_ours = {path.name for path in left.iterdir()} <= {*(f"{name}.npy" for name in _ARRAYS), _TABLE}
            if is_ours and time.time() - left.stat().st_mtime > _GRACE_S:
                with locked(left):
                    shutil.rmtree(left, ignore_errors=True)


def _entry_name(root: Path, files: Sequence[str], spec: InputSpec) -> tuple[str, str]:
    """Return a digest of folder and input, and one of everything that the pixels depend on."""
    pixels = (spec.height, spec.width, spec.resize, spec.interpolation)  # mean and deviation come later
    family = hashlib.sha256(repr((str(root.resolve()), pixels)).encode("utf-8", "surrogateescape"))
    content = hashlib.sha256(repr((_VERSION, PIL.__version__, pixels)).encode())
    for file in files:
        about = (root / file).stat()
        content.update(repr((file, about.st_size, about.st_mtime_ns)).encode("utf-8", "surrogateescape"))
    return f"{spec.width}x{spec.height}-{family.hexdigest()[:12]}", content.hexdigest()[:32]


def _load(entry: Path, report: Report) -> Pictures | None:
    """Map an entry, or return None where there is none or it is damaged."""
    if not entry.is_dir():
        return None
    try:
        table = json.loads((entry / _TABLE).read_text())
        for name in _ARRAYS:
            if _digest_of(entry / f"{name}.npy") != table["digests"][name]:
                raise ValueError(f"{name}.npy does not match its digest")
        read = tuple(Read(**fields) for fields in table["read"])
        # "c": a change stays in memory, and torch takes no array that cannot be written
        images, thumbnails = (np.load(entry / f"{name}.npy", mmap_mode="c") if read else None for name in _ARRAYS)
        unreadable = tuple(Unreadable(**fields) for fields in table["unreadable"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        report(f"the cache {entry} is damaged ({error}); decoding again")
        return None
    if images is None or thumbnails is None:  # an empty file cannot be mapped
        images = np.empty((0, 1, 1, 3), np.uint8)
        thumbnails = np.empty((0, THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), np.uint8)
    return Pictures(read, images, thumbnails, unreadable)


def _readable_by_now(root: Path, pictures: Pictures) -> str | None:
    """Find a file that could not be read when the pictures were decoded, and can be by now."""
    for item in pictures.unreadable:
        if not item.was_read:
            with contextlib.suppress(OSError):
                with (root / item.file).open("rb") as file:
                    file.read(1)
                return item.file
    return None


def _decode_all(root: Path, files: Sequence[str], *, spec: InputSpec, target: Path, report: Report) -> None:
    read: list[Read] = []
    unreadable: list[Unreadable] = []
    started_s = told_s = time.monotonic()
    shape = (spec.height, spec.width, 3)
    with (
        ThreadPoolExecutor(usable_cores()) as pool,
        _Rows(target / "images.npy", shape, most=len(files)) as images,
        _Rows(target / "thumbnails.npy", (THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), most=len(files)) as thumbnails,
    ):
        for start in range(0, len(files), _CHUNK):
            for decoded in pool.map(lambda file: _decode(root, file, spec), files[start : start + _CHUNK]):
                if isinstance(decoded, Unreadable):
                    unreadable.append(decoded)
                    continue
                about, image, thumbnail = decoded
                read.append(about)
                images.append(image)
                thumbnails.append(thumbnail)
            now_s = time.monotonic()
            if now_s - told_s >= _TOLD_EVERY_S:
                told_s, done = now_s, min(start + _CHUNK, len(files))
                rate = done / (now_s - started_s)
                left_s = (len(files) - done) / rate
                report(f"decoding {done:,}/{len(files):,} · {rate:,.0f} pictures/s · {time_left(left_s)}")
    table: dict[str, Any] = {
        "read": [asdict(item) for item in read],
        "unreadable": [asdict(item) for item in unreadable],
        "digests": {name: _digest_of(target / f"{name}.npy") for name in _ARRAYS},
    }
    (target / _TABLE).write_text(json.dumps(table))


def _decode(root: Path, file: str, spec: InputSpec) -> tuple[Read, Images, Thumbnails] | Unreadable:
    # enough for a thumbnail too, which must not depend on the input's size
    at_least = (max(spec.width, THUMBNAIL_SIDE), max(spec.height, THUMBNAIL_SIDE))
    try:
        data = picture_bytes(root / file)
    except OSError as error:
        return Unreadable(file, str(error), was_read=False)
    except PictureError as error:
        return Unreadable(file, str(error))
    try:
        picture = decode(data, at_least=(spec.width, spec.height))
        image = to_images([picture], spec)
        rgb = picture.rgb if at_least == (spec.width, spec.height) else decode(data, at_least=at_least).rgb
    except PictureError as error:
        return Unreadable(file, str(error))
    pixels = hashlib.sha256(f"{picture.width} {picture.height} ".encode() + rgb.tobytes())
    read = Read(file, picture.width, picture.height, hashlib.sha256(data).hexdigest(), pixels.hexdigest())
    return read, image, to_thumbnail(rgb)


def to_thumbnail(rgb: Image.Image) -> Thumbnails:
    """Squeeze a whole picture into uint8 (32, 32, 3)."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(rgb.resize(side, Image.Resampling.BICUBIC, reducing_gap=2.0))


class _Rows:
    """An .npy file that grows row by row; its header is written again when the number of rows is known.

    Args:
        path: of the file.
        shape: of a row, uint8.
        most: rows that there can be.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], *, most: int) -> None:
        self._file: BinaryIO = path.open("wb")
        self._shape = shape
        self._rows = 0
        self._header_bytes = self._write_header(most)

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.seek(0)
        length = self._write_header(self._rows)
        self._file.close()
        assert length == self._header_bytes  # numpy pads for any number of rows

    def append(self, row: Images) -> None:
        self._file.write(np.ascontiguousarray(row).tobytes())
        self._rows += 1

    def _write_header(self, rows: int) -> int:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()


def _install(made: Path, entry: Path) -> None:
    """Give a whole entry its name; one that another process made in the meantime is as good."""
    for _ in range(3):
        with contextlib.suppress(OSError):
            made.rename(entry)
            return
        if _load(entry, lambda _sentence: None) is not None:
            return
        # What is damaged is moved away under a name of its own; somebody may have been faster.
        with contextlib.suppress(FileNotFoundError):
            entry.rename(made.with_name(f"{made.name}.damaged"))
            shutil.rmtree(made.with_name(f"{made.name}.damaged"), ignore_errors=True)
    raise DataError(f"The cache {entry} cannot be replaced. Delete it, or use another --cache.")


def _remove_older(entry: Path, family: str) -> None:
    """Delete entries of the same folder and input from before it changed; who has mapped one keeps it."""
    for older in entry.parent.glob(f"{family}-*"):
        if older != entry:
            shutil.rmtree(older, ignore_errors=True)


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_mb(pictures: Pictures) -> float:
    return (pictures.images.nbytes + pictures.thumbnails.nbytes) / 1e6
