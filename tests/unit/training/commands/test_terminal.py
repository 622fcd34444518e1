"""A failure that has a name is one sentence, and one that has none is not hidden."""

import errno
import re
import sys
from pathlib import Path

import pytest
import torch
import typer

from training.commands.options import MOST_SEED
from training.commands.terminal import page_command, print_lines, told_in_a_sentence
from training.configuration import Request, write_configuration
from training.runs.run import CONFIGURATION

PYTHON = ".venv/bin/python"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is named as it can be typed: the interpreter from where it was started."""
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / PYTHON))


def test_memory_that_the_processor_lacks_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """PyTorch raises a plain RuntimeError for it, whatever the machine: a million terabytes are nowhere."""
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence():
        torch.empty(2**60, dtype=torch.uint8)
    told = capsys.readouterr().err
    assert told.startswith("Error: there is not enough memory (")
    assert "can't allocate memory" in told
    assert told.count("\n") == 1
    assert told.endswith("Free it, or take a smaller --input-size.\n")


def test_memory_that_python_lacks_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """So it is where no reason is given."""
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence():
        raise MemoryError
    assert capsys.readouterr().err.startswith("Error: there is not enough memory (no reason was given).")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: out of memory\nCompile with …")],
)
def test_memory_that_a_device_lacks_has_another_advice(
    error: RuntimeError, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processor may have what the device has not. One of several processes, which are quiet, says it, too."""

    def fail_quietly() -> None:
        with told_in_a_sentence() as console:
            console.quiet = True
            raise error

    with pytest.raises(typer.Exit, match="1"):
        fail_quietly()
    told = capsys.readouterr().err
    assert told.startswith("Error: the device has not enough memory (CUDA ")
    assert told.endswith("out of memory). Free it, or use --device cpu.\n")


def test_a_compiler_that_is_missing_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that has begun goes on without it."""
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    def fail() -> None:
        raise InductorError(InvalidCxxCompiler(), None)

    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence():
        fail()
    (tmp_path / CONFIGURATION).touch()
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence(tmp_path):
        fail()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Error: torch.compile makes no kernels here (")
    assert first.endswith("or leave --compile out.")
    assert second.endswith(f"go on with: {PYTHON} -m training train --resume {tmp_path} --no-compile")


def test_a_failing_disk_tells_how_a_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is a run to go on with; its states are kept while the disk is full."""
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence(tmp_path):
        raise full
    (tmp_path / CONFIGURATION).touch()
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence(tmp_path):
        raise full
    assert capsys.readouterr().err.splitlines() == [
        "Error: [Errno 28] No space left on device",
        f"Error: [Errno 28] No space left on device. Mend it; go on with: {PYTHON} -m training train --resume "
        f"{tmp_path}",
    ]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError("full")])
def test_memory_that_is_lacking_tells_how_a_run_goes_on(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last state is there, as it is when a disk fails."""
    (tmp_path / CONFIGURATION).touch()
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence(tmp_path):
        raise error
    told = capsys.readouterr().err
    assert "memory (full). Free it, or " in told
    assert told.endswith(f"; go on with: {PYTHON} -m training train --resume {tmp_path}\n")


@pytest.mark.parametrize("seed", [MOST_SEED, MOST_SEED + 1])
def test_a_page_is_made_without_a_seed_that_its_command_does_not_take(seed: int, tmp_path: Path) -> None:
    """An older version took larger ones for a run."""
    write_configuration(
        tmp_path / CONFIGURATION,
        request=Request(recipe="fast", data="cifar10", seed=seed),
        configuration={},
        environment={},
    )
    assert re.findall("--seed ([0-9]+) ", page_command(tmp_path)) == ([str(seed)] if seed == MOST_SEED else [])


def test_any_other_error_of_pytorch_is_not_hidden() -> None:
    """A bug has its traceback."""
    with pytest.raises(RuntimeError, match="not aligned"), told_in_a_sentence():
        raise RuntimeError("shapes are not aligned")


def test_a_name_of_two_lines_is_printed_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Else a table of classes would have more rows than there are."""
    print_lines(["a\nb\x1b[31m: 5", "c: 6"])
    assert capsys.readouterr().out == "a\\nb\\x1b[31m: 5\nc: 6\n"


def test_a_run_folder_that_cannot_be_looked_at_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is too long for the system raises wherever it is asked about."""
    folder = Path("a" * 300)
    with pytest.raises(typer.Exit, match="1"), told_in_a_sentence(folder):
        (folder / CONFIGURATION).exists()
    assert capsys.readouterr().err.endswith("File name too long: '" + str(folder / CONFIGURATION) + "'\n")
