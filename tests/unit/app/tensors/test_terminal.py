"""`python -m app tensors` prints what GET /tensors answers."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import main as program
from app.tensors.catalogue import DEMOS
from app.tensors.terminal import main
from tests.unit.stopped_start import ROOT


def test_without_a_demo_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, with their options."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: " in out for name in DEMOS)


def test_a_demo_is_printed_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Code and output are those of the value."""
    assert main(["numpy-bridge", "--rows", "4"]) == 0
    out = capsys.readouterr().out
    assert "    rows = 4\n" in out
    assert "  | tensor([1., 1., 1., 1.])\n" in out


def test_a_terminal_without_utf_8_gets_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what its encoding does not have; the rest is printed."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["dynamic-graph"]) == 0
    screen.seek(0)
    assert "\n  weight ? MulBackward0\n" in screen.read()


@pytest.mark.parametrize(
    ("redirection", "code", "sentence"),
    [
        ("| true", 0, ""),
        (">/dev/full", 1, "Error: The output cannot be written: No space left on device.\n"),
        (">&-", 1, "Error: There is no standard output to write to.\n"),
    ],
)
def test_an_output_that_cannot_be_written_is_told(redirection: str, code: int, sentence: str) -> None:
    """In a sentence; who closes a pipe early has read enough."""
    command = f"set -o pipefail; {sys.executable} -m app tensors creation {redirection}"
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # so that something is left for the interpreter's end
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=buffered, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, sentence)


def test_an_empty_checkpoint_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A script's unset variable does not show another file."""
    assert main(["anatomy", "--checkpoint", ""]) == 2
    assert "name a .safetensors file" in capsys.readouterr().err


def test_anatomy_shows_the_file_that_is_named(checkpoint_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, not by its folder."""
    assert main(["anatomy", "--checkpoint", str(checkpoint_path)]) == 0
    out = capsys.readouterr().out
    assert 'load(Path("tiny.safetensors"))' in out
    assert str(checkpoint_path.parent) not in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["numpy"], "Error: There is no demo 'numpy'. There are: creation, arithmetic, "),
        (
            ["creation", "--rows", "99"],
            "Error: The parameter rows is '99'; allowed is a whole number from 1 to 16.",
        ),
    ],
)
def test_a_wrong_word_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(sentence)
    assert shown.err.count("\n") == 1


def test_an_unknown_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Which ends with 2 and names the option."""
    with pytest.raises(SystemExit, match="2"):
        main(["creation", "--colour", "red"])
    assert "--colour" in capsys.readouterr().err


def test_a_checkpoint_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 3, as a start of the service that fails."""
    assert main(["anatomy", "--checkpoint", str(tmp_path / "none.safetensors")]) == 3
    assert "cannot be read" in capsys.readouterr().err


def test_a_wrong_setting_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As the service tells it."""
    monkeypatch.setenv("GLIMPSE_CHECKPONT", "x")
    assert main(["anatomy"]) == 2
    assert "GLIMPSE_CHECKPOINT" in capsys.readouterr().err


def test_the_program_hands_over(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m app tensors` comes here; any other word is still the service's."""
    monkeypatch.setattr(sys, "argv", ["app", "tensors", "nothing"])
    assert program() == 2
    assert "There is no demo 'nothing'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["app", "tensor"])
    assert program() == 2
    assert "tensor is not an option" in capsys.readouterr().err
