"""A run's folder is opened again only for what it was begun with."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drawing import write_archive
from training.configuration import Request, write_configuration
from training.data.findings import Findings, write
from training.devices import Computing
from training.errors import TrainingError
from training.runs.resume import ask_again, ask_longer, check_new, open_run
from training.runs.run import Run
from training.state import write_state

FOUND = Findings("pets", {"cat": {"train": 4, "test": 1}, "dog": {"train": 5, "test": 1}}, (), ())


def _open(folder: Path, *, data: str, found: Findings | None) -> Run:
    return open_run(
        folder,
        Request(recipe="fast", data="pets"),
        {"seed": 0, "data_fingerprint": data},
        computing=Computing(torch.device("cpu"), torch.float32),
        save_every=None,
        extends=None,
        found=found,
        warn=lambda _: None,
    )


def test_a_folder_of_pictures_that_changed_is_refused_in_words(tmp_path: Path) -> None:
    """Before the digests stands which class has how many pictures, and had."""
    _open(tmp_path, data="a", found=FOUND)
    write(FOUND, tmp_path)
    fewer = replace(FOUND, counts={**FOUND.counts, "dog": {"train": 3, "test": 1}})
    _open(tmp_path, data="a", found=fewer)  # the pictures decide, not the counts
    told = r": 'dog' has 3 pictures to learn from and had 5; data_fingerprint is 'b' and was 'a'\. Restore"
    with pytest.raises(TrainingError, match=told):
        _open(tmp_path, data="b", found=fewer)


def test_an_archive_that_changed_is_refused_by_its_digest(tmp_path: Path) -> None:
    """Nothing more is known of it."""
    _open(tmp_path, data="a", found=None)
    with pytest.raises(TrainingError, match=r"data_fingerprint is 'b' and was 'a'\. Restore"):
        _open(tmp_path, data="b", found=None)


def test_a_run_that_begins_remembers_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it goes on from any working folder."""
    monkeypatch.chdir(tmp_path)
    _open(tmp_path, data="a", found=None)
    asked = json.loads((tmp_path / "configuration.json").read_text())["request"]
    assert (asked["data"], asked["cache"]) == (str(tmp_path / "pets"), str(tmp_path / "data"))


def _extended(folder: Path, *, of: Path) -> Run:
    return open_run(
        folder,
        Request(recipe="fast", data="pets"),
        {"seed": 0},
        computing=Computing(torch.device("cpu"), torch.float32),
        save_every=None,
        extends=of,
        found=None,
        warn=lambda _: None,
    )


def test_an_extension_that_cannot_begin_leaves_a_folder_in_which_one_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full behind the snapshot: what was written is taken away, and the same command works later."""
    finished, longer = tmp_path / "finished", tmp_path / "longer"
    finished.mkdir()
    longer.mkdir()
    write_state(finished / "snapshot.pt", {"configuration": '{"seed": 0}', "step": 3})
    (finished / "metrics.jsonl").write_text('{"step": 1}\n')

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training.runs.resume.write_configuration", fail)
        with pytest.raises(OSError, match="No space left"):
            _extended(longer, of=finished)
    assert not list(longer.iterdir())
    check_new(longer)
    _extended(longer, of=finished)
    assert {file.name for file in longer.iterdir()} >= {"configuration.json", "state.pt", "metrics.jsonl"}


def test_commands_can_be_typed_as_they_are_told(tmp_path: Path) -> None:
    """A folder with a space in its name is quoted."""
    folder = tmp_path / "my run"
    folder.mkdir()
    asked = _asked(folder, Request(recipe="fast", data="pets"))
    with pytest.raises(TrainingError, match=f"train --resume '{folder}'; or name"):
        check_new(folder)
    with pytest.raises(TrainingError, match=f"train --resume '{folder}' --extend EPOCHS"):
        ask_again(asked, {"epochs": 9}, folder=folder)


def _asked(folder: Path, request: Request) -> Request:
    """What a run was asked for, on a machine that computes in float32."""
    write_configuration(
        folder / "configuration.json", request=request, configuration={"dtype": "float32"}, environment={}
    )
    return request


def test_a_longer_run_does_not_write_over_the_result_of_the_one_before(tmp_path: Path) -> None:
    """Where the first one wrote its checkpoint to is forgotten; what decides the weights is not."""
    asked = _asked(tmp_path, Request(recipe="fast", data="pets", seed=3, out="best.safetensors", extensions=(1,)))
    for name in ("checkpoint.safetensors", "snapshot.pt"):
        (tmp_path / name).touch()
    assert ask_longer(tmp_path, epochs=2) == replace(asked, out=None, extensions=(1, 2))


def test_the_dtype_that_is_typed_to_go_on_is_taken(tmp_path: Path) -> None:
    """On a machine where `auto` is another one, what it came to before can be typed; else `auto` stays."""
    asked = _asked(tmp_path, Request(recipe="fast", data="pets"))
    assert ask_again(asked, {"dtype": "float32"}, folder=tmp_path) == replace(asked, dtype="float32")
    assert ask_again(asked, {}, folder=tmp_path) == asked


@pytest.mark.parametrize(
    ("configuration", "asked_again"), [({"held_out": 7}, 7), ({"held_out": 7, "held_out_part": "val"}, None)]
)
def test_a_run_that_drew_its_held_out_part_goes_on_with_it(
    configuration: dict[str, object], asked_again: int | None, tmp_path: Path
) -> None:
    """An older version did not use val/, or it was added since; only a run that held it out does so again."""
    asked = Request(recipe="fast", data=str(tmp_path / "pets"))
    write_configuration(
        tmp_path / "configuration.json", request=asked, configuration=configuration, environment={}
    )
    for part in ("train", "test"):
        (tmp_path / "pets" / part / "cat").mkdir(parents=True)
    assert ask_again(asked, {}, folder=tmp_path) == asked
    (tmp_path / "pets" / "val" / "cat").mkdir(parents=True)
    assert ask_again(asked, {}, folder=tmp_path).held_out == asked_again

    asked = Request(recipe="fast", data=str(tmp_path / "pets.npz"))
    write_archive(tmp_path / "pets.npz", {"x_train": np.zeros(1)})
    assert ask_again(asked, {}, folder=tmp_path) == asked
    write_archive(tmp_path / "pets.npz", {"x_train": np.zeros(1), "x_val": np.zeros(1)})
    assert ask_again(asked, {}, folder=tmp_path).held_out == asked_again


@pytest.mark.parametrize(
    ("missing", "advice"),
    [("checkpoint.safetensors", "finish it first: train --resume"), ("snapshot.pt", r"train anew\.")],
)
def test_a_run_that_lacks_what_an_extension_needs_is_not_extended(
    missing: str, advice: str, tmp_path: Path
) -> None:
    """The end of the run before, and the state that the longer one starts with; each with what to do instead."""
    _asked(tmp_path, Request(recipe="fast", data="pets"))
    for name in {"checkpoint.safetensors", "snapshot.pt"} - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(TrainingError, match=rf"cannot be extended: it holds no {missing}; {advice}"):
        ask_longer(tmp_path, epochs=2)


def test_a_folder_with_a_run_is_no_place_for_a_new_one(tmp_path: Path) -> None:
    """How to go on with it depends on whether it is finished."""
    (tmp_path / "configuration.json").write_text("{}")
    with pytest.raises(
        TrainingError, match=rf"holds a run already\. Go on with it: train --resume {tmp_path}; or"
    ):
        check_new(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(
        TrainingError, match=rf"holds a finished run already.*: train --resume {tmp_path} --extend EPOCHS; or"
    ):
        check_new(tmp_path)
