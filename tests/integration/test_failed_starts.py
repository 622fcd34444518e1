"""Every broken checkpoint stops the start with exit code 3 and one sentence of its own."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.processes.server import main
from models.checkpoint import load
from tests.forgery import FORGERIES, forge

pytestmark = pytest.mark.usefixtures("_logging_as_before")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    **{name: partial(forge, edit=edit) for name, (edit, _, _) in FORGERIES.items()},
    "truncated": _cut,
    "empty": lambda path: path.write_bytes(b""),
    "flipped bit in the length": lambda path: _flip(path, 3),
    "flipped bit in the header": lambda path: _flip(path, 12),
    "flipped bit in the text": lambda path: _flip(path, path.read_bytes().index(b"green")),
    "flipped bit in the weights": lambda path: _flip(path, -1),
    "gone": lambda path: path.unlink(),
}


@pytest.fixture
def _variables_as_before() -> Iterator[None]:
    """With several workers `main` writes the settings of a whole process into its environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def _sentence(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--port", "0", "--device", "cpu", "--checkpoint", str(path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"Error: {path}: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_checkpoint_is_exit_code_3_and_a_sentence(
    trained_checkpoint: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the file; nothing is served."""
    DAMAGES[damage](trained_checkpoint)
    _sentence(trained_checkpoint, capsys)


def test_the_sentences_are_all_different(trained_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures aside: whoever reads one knows which fault it was. Two faults show in the golden answers alone."""
    whole = trained_checkpoint.read_bytes()
    sentences = set()
    for damage in DAMAGES.values():
        trained_checkpoint.write_bytes(whole)
        damage(trained_checkpoint)
        sentences.add(re.sub(r"0\.\d+", "0.…", _sentence(trained_checkpoint, capsys)))
    assert len(sentences) == len(DAMAGES) - 1


@pytest.mark.parametrize("workers", ["0", "1", "2"])
def test_another_file_than_the_one_that_was_meant_is_refused(
    checkpoint_path: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """However good it is: exit code 3, and a sentence with both digests."""
    meant = f"sha256:{'0' * 64}"
    options = ["--port", "0", "--device", "cpu", "--engine", "torch", "--workers", workers]
    assert main([*options, "--checkpoint", str(checkpoint_path), "--checkpoint-digest", meant]) == 3
    told = capsys.readouterr().err
    assert told.startswith(
        f"Error: {checkpoint_path}: it is {load(checkpoint_path).digest}, and {meant} was asked"
    )
    assert told.count("\n") == 1


@pytest.mark.usefixtures("_variables_as_before")
@pytest.mark.parametrize(
    ("code", "by", "ready", "expected"),
    [
        (3, None, False, 3),
        (-15, signal.SIGTERM, True, 0),
        (143, signal.SIGTERM, False, 143),
        (143, signal.SIGHUP, False, 143),
        (130, signal.SIGINT, False, 130),
    ],
)
def test_how_workers_ended_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    checkpoint_path: Path,
    code: int,
    by: signal.Signals | None,
    ready: bool,
    expected: int,
) -> None:
    """One that cannot start stops them all, and is 3; a stop as asked is 0, unless none was ready by then."""

    class Workers:
        """Those of uvicorn, at their end."""

        stopped_by, were_ready = by, ready

        def __init__(self, config: Any, sockets: Any, *, gpus: Any) -> None:
            assert gpus == []
            assert (config.workers, config.timeout_keep_alive) == (2, 90)
            assert len(sockets) == 1
            self.processes = [SimpleNamespace(exitcode=-15), SimpleNamespace(exitcode=code)]

        def run(self) -> None:
            """Nothing."""

    monkeypatch.setattr("app.processes.server.Workers", Workers)
    options = ["--port", "0", "--device", "cpu", "--engine", "torch", "--workers", "2", "--keep-alive-s", "90"]
    assert main([*options, "--checkpoint", str(checkpoint_path)]) == expected


@pytest.mark.usefixtures("_variables_as_before")
@pytest.mark.parametrize(("chosen", "gpus"), [(None, ["0", "1"]), ("3,1", ["3", "1"])])
def test_workers_share_out_the_gpus(
    monkeypatch: pytest.MonkeyPatch, checkpoint_path: Path, chosen: str | None, gpus: list[str]
) -> None:
    """Those that the operator chose, else all: left alone, each worker would take the first."""
    given: list[list[str]] = []

    class Workers:
        """Those of uvicorn."""

        processes: tuple[()] = ()
        stopped_by = None

        def __init__(self, *_: Any, gpus: list[str], **__: Any) -> None:
            given.append(gpus)

        def run(self) -> None:
            """Nothing."""

    monkeypatch.setattr("app.processes.server.Workers", Workers)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert main(["--port", "0", "--workers", "2", "--checkpoint", str(checkpoint_path)]) == 0
    assert given == [gpus]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)
def test_a_start_without_memory_is_a_sentence(
    error: Exception, checkpoint_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked for it, Python or PyTorch; a fault of ours is not taken for it."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("app.served_model.open_engine", fail)
    assert main(["--port", "0", "--device", "cpu", "--checkpoint", str(checkpoint_path)]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"Error: There is not enough memory to open {checkpoint_path}. Give the process more")
    assert told.count("\n") == 1
    error.args = ("a fault",)
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError, match="a fault"):
            main(["--port", "0", "--device", "cpu", "--checkpoint", str(checkpoint_path)])
