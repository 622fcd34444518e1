"""The cache of decoded pictures: mapped, named by its content, whole or not there, and never wrong."""

import dataclasses
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.cores import usable_cores
from models.folder_lock import locked
from models.pictures import decode
from models.preprocessing import InputSpec, to_images
from tests.drawing import encode, gradient, solid
from training.data.picture_cache import Pictures, read_pictures, to_thumbnail
from training.errors import DataError

FILES = ("a/1.png", "a/2.jpg", "b/broken.png", "b/deep/3.PNG")
SPEC = InputSpec(height=24, width=40)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of three pictures and one cut off."""
    contents = (
        encode(gradient(90, 70)),
        encode(gradient(300, 200), "JPEG"),
        encode(solid("red"))[:50],
        encode(solid("blue")),
    )
    for name, data in zip(FILES, contents, strict=True):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "pictures"


def _read(root: Path, told: list[str] | None = None, spec: InputSpec = SPEC) -> Pictures:
    report = (told if told is not None else []).append
    return read_pictures(root, FILES, spec=spec, cache=root.parent / "cache", report=report)


def _entries(root: Path) -> list[Path]:
    return sorted((root.parent / "cache" / "pictures").iterdir())


def test_pictures_are_what_the_service_would_see(root: Path) -> None:
    """Readable files in order, their pixels by the service's own rule, the broken one named with its reason."""
    pictures = _read(root)
    assert [read.file for read in pictures.read] == ["a/1.png", "a/2.jpg", "b/deep/3.PNG"]
    assert [(read.width, read.height) for read in pictures.read] == [(90, 70), (300, 200), (32, 32)]
    for read, image in zip(pictures.read, pictures.images, strict=True):
        picture = decode((root / read.file).read_bytes(), at_least=(40, 24))
        assert np.array_equal(image, to_images([picture], SPEC)[0])
    assert [item.file for item in pictures.unreadable] == ["b/broken.png"]
    assert "damaged or cut off" in pictures.unreadable[0].reason


def test_the_arrays_are_mapped_and_the_disk_is_never_changed(root: Path) -> None:
    """The pixels lie in a file; what somebody writes into the array stays in memory."""
    pictures = _read(root)
    assert isinstance(pictures.images, np.memmap)
    pictures.images[:] = 0
    assert _read(root).images.any()


def test_a_second_reading_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It maps the same entry, and both say where it is and how large."""
    import training.data.picture_cache

    told: list[str] = []
    first = _read(root, told)
    monkeypatch.setattr(training.data.picture_cache, "decode", None)
    second = _read(root, told)
    assert np.array_equal(first.images, second.images)
    (entry,) = _entries(root)
    assert told == [
        f"decoded 3 pictures into {entry} (0.0 MB)",
        f"3 decoded pictures are in {entry} (0.0 MB)",
    ]


def test_an_entry_is_for_whoever_may_read_the_cache(root: Path) -> None:
    """A temporary folder, as which it begins, is for its maker alone."""
    _read(root)
    (entry,) = _entries(root)
    assert entry.stat().st_mode == entry.parent.stat().st_mode


def test_a_changed_file_replaces_the_entry(root: Path) -> None:
    """Same name and size, another time of change: decoded again, and the old entry is gone."""
    before = _read(root).images.copy()
    path = root / FILES[3]
    path.write_bytes(encode(solid("lime")))
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1_000_000_000))
    after = _read(root).images
    assert np.array_equal(before[:2], after[:2])
    assert after[2, 0, 0].tolist() == [0, 255, 0]
    assert len(_entries(root)) == 1


def test_another_input_size_is_another_entry(root: Path) -> None:
    """Both stay, so that two sizes can be tried in turn; mean and deviation are no part of the pixels."""
    _read(root)
    assert _read(root, spec=InputSpec(height=32, width=32)).images.shape == (3, 32, 32, 3)
    _read(root, spec=InputSpec(height=32, width=32, mean=(0.5, 0.5, 0.5)))
    assert len(_entries(root)) == 2


def test_another_interpolation_is_another_entry(root: Path) -> None:
    """The same files at the same size are other pixels then, and none are taken for the others."""
    bicubic = _read(root).images.copy()
    other = dataclasses.replace(SPEC, interpolation="bilinear")
    assert not np.array_equal(_read(root, spec=other).images, bicubic)
    assert len(_entries(root)) == 2


def test_pictures_of_the_same_bytes_in_another_shape_are_no_copies(tmp_path: Path) -> None:
    """One colour in 4 × 9 and in 6 × 6 pixels: as many bytes, all alike, and two pictures."""
    for name, size in (("1.png", (4, 9)), ("2.png", (6, 6)), ("3.png", (6, 6))):
        (tmp_path / name).write_bytes(encode(Image.new("RGB", size, "red")))
    pictures = read_pictures(
        tmp_path, ["1.png", "2.png", "3.png"], spec=SPEC, cache=tmp_path / "cache", report=lambda _sentence: None
    )
    long, square, same = (read.pixels_digest for read in pictures.read)
    assert long != square == same


def test_a_file_that_could_not_be_read_and_can_be_now_is_told_of(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays left out, so that a run can go on with what it began with, until the entry is deleted."""
    whole, failing = Path.open, {root / FILES[0], root / FILES[3]}

    def open_file(path: Path, *given: Any, **named: Any) -> Any:
        if path in failing:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return whole(path, *given, **named)

    monkeypatch.setattr(Path, "open", open_file)
    told: list[str] = []
    pictures = _read(root, told)
    assert [item.file for item in pictures.unreadable if not item.was_read] == [FILES[0], FILES[3]]
    assert [item.file for item in pictures.unreadable if item.was_read] == ["b/broken.png"]
    assert len(_read(root, told).read) == 1
    assert [line.split(" in", 1)[0] for line in told] == ["decoded 1 pictures", "1 decoded pictures are"]
    failing.clear()
    told.clear()
    assert len(_read(root, told).read) == 1
    (entry,) = _entries(root)
    assert told[0].startswith(f"{FILES[0]} could not be read when the folder was decoded, and can be now")
    assert told[0].endswith(f"delete {entry} to take it in")
    shutil.rmtree(entry)
    assert len(_read(root, told).read) == 3


def test_what_is_no_picture_is_not_read_whole(root: Path) -> None:
    """A film of a terabyte among the photos: it is named and left out, and no memory would hold it."""
    with (root / FILES[0]).open("wb") as film:
        film.write(b"\0\0\0\x20ftypisom")
        film.truncate(2**40)  # a hole, which takes no room
    (left_out, *_) = _read(root).unreadable
    assert left_out.file == FILES[0]
    assert "no picture format known here" in left_out.reason


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped byte": lambda entry: _flip_a_byte(entry / "images.npy"),
    "a cut thumbnail file": lambda entry: (entry / "thumbnails.npy").write_bytes(b"\x93NUMPY"),
    "a missing array": lambda entry: (entry / "images.npy").rename(entry / "lost.npy"),
    "a table that is no JSON": lambda entry: (entry / "pictures.json").write_text("{"),
    "a table of something else": lambda entry: (entry / "pictures.json").write_text('{"read": 3}'),
    "an empty folder": lambda entry: [path.rename(entry.parent.parent / path.name) for path in entry.iterdir()],
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_entry_is_made_anew(root: Path, damage: str) -> None:
    """Whatever happened to it, it is told and decoded again, and is good from then on."""
    expected = _read(root).images.copy()
    DAMAGES[damage](_entries(root)[0])
    told: list[str] = []
    assert np.array_equal(_read(root, told).images, expected)
    assert "is damaged" in told[0]
    assert told[1].startswith("decoded 3 pictures into")
    told.clear()
    _read(root, told)
    assert told[0].startswith("3 decoded pictures are in")
    assert len(_entries(root)) == 1


def test_many_at_once_get_the_same_pictures(root: Path) -> None:
    """Eight that begin together all end with the right pixels, one entry and nothing half made."""
    expected = _read(root).images.copy()
    _flip_a_byte(_entries(root)[0] / "images.npy")
    results: list[bool] = []
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait()
        results.append(np.array_equal(_read(root).images, expected))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    assert len(_entries(root)) == 1


def test_an_entry_that_another_process_takes_away_is_no_loss(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that find a damaged entry one may put its own in another's place: each goes on with its own."""
    import training.data.picture_cache

    expected = _read(root).images.copy()
    _flip_a_byte(_entries(root)[0] / "images.npy")
    install = training.data.picture_cache._install

    def install_and_lose(made: Path, entry: Path) -> None:
        install(made, entry)
        shutil.rmtree(entry)

    monkeypatch.setattr(training.data.picture_cache, "_install", install_and_lose)
    told: list[str] = []
    assert np.array_equal(_read(root, told).images, expected)
    assert told[-1].startswith("decoded 3 pictures into")


def test_a_stopped_decoding_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: no entry, and no temporary folder."""
    import training.data.picture_cache

    def stop(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.data.picture_cache, "to_images", stop)
    with pytest.raises(KeyboardInterrupt):
        _read(root)
    assert _entries(root) == []


def test_what_a_killed_decoding_left_is_swept(root: Path) -> None:
    """Not what is just begun, nor what is locked by a process that lives, nor somebody's own folder."""
    folder = root.parent / "cache" / "pictures"
    for name in (".decoding-dead", ".decoding-dead.damaged", ".decoding-new", ".decoding-alive", ".decoding-cats"):
        (folder / name).mkdir(parents=True)
        (folder / name / ("cat.png" if name == ".decoding-cats" else "images.npy")).touch()
        if name != ".decoding-new":
            os.utime(folder / name, (0, 0))
    with locked(folder / ".decoding-alive"):
        _read(root)
    kept = {entry.name for entry in _entries(root) if entry.name.startswith(".decoding-")}
    assert kept == {".decoding-alive", ".decoding-new", ".decoding-cats"}


def test_nobody_sweeps_a_decoding_that_is_at_work(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes."""
    import training.data.picture_cache

    def draw(rgb: Image.Image) -> np.ndarray:
        (made,) = _entries(root)
        os.utime(made, (0, 0))
        training.data.picture_cache._sweep(made.parent)
        assert _entries(root) == [made]
        return to_thumbnail(rgb)

    monkeypatch.setattr(training.data.picture_cache, "to_thumbnail", draw)
    assert len(_read(root).read) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are given to a process otherwise here")
def test_as_many_threads_decode_as_there_are_cores_for_this_process(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one core of a machine it is one thread."""
    import training.data.picture_cache

    threads: set[int] = set()

    def draw(rgb: Image.Image) -> np.ndarray:
        threads.add(threading.get_ident())
        return to_thumbnail(rgb)

    monkeypatch.setattr(training.data.picture_cache, "to_thumbnail", draw)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert usable_cores() == 1
        _read(root)
    finally:
        os.sched_setaffinity(0, cores)
    assert os.sched_getaffinity(0) == cores
    assert len(threads) == 1


def test_a_folder_without_a_readable_file_is_no_fault_here(tmp_path: Path) -> None:
    """Nothing is mapped, everything is named; what that means is the reader's business."""
    (tmp_path / "x.txt").write_text("text")
    for _ in range(2):
        pictures = read_pictures(
            tmp_path, ["x.txt"], spec=SPEC, cache=tmp_path / "cache", report=lambda _sentence: None
        )
        assert len(pictures.images) == len(pictures.thumbnails) == len(pictures.read) == 0
        assert [item.file for item in pictures.unreadable] == ["x.txt"]


def test_progress_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each share of the files: how many, how fast, how long still."""
    import training.data.picture_cache

    monkeypatch.setattr(training.data.picture_cache, "_TOLD_EVERY_S", 0.0)
    monkeypatch.setattr(training.data.picture_cache, "_CHUNK", 2)
    told: list[str] = []
    _read(root, told)
    assert told[0].startswith("decoding 2/4 · ")
    assert told[0].endswith(" · 0:00:00 left")
    assert told[1].startswith("decoding 4/4 · ")


def test_a_cache_that_cannot_be_written_is_a_sentence(root: Path) -> None:
    """A file lies where the folder should be: the message names it and the option."""
    (root.parent / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"cache .* cannot be written .*--cache"):
        _read(root)


def test_the_table_is_readable_by_people(root: Path) -> None:
    """Files, sizes and digests stand in a JSON file beside the arrays."""
    _read(root)
    table = json.loads((_entries(root)[0] / "pictures.json").read_text())
    assert table["read"][0]["file"] == "a/1.png"
    assert set(table["digests"]) == {"images", "thumbnails"}
