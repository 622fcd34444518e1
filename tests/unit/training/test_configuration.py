"""What a run was asked to do, and what it writes down about itself."""

import json
import os
from pathlib import Path

import pytest
import torch

from training.configuration import (
    Request,
    differences,
    flatten,
    read_configuration,
    surroundings,
    with_whole_paths,
    write_configuration,
)
from training.devices import Computing
from training.errors import TrainingError


def test_names_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    """A path is bytes: what is no UTF-8 is written escaped, and so are the labels of any language."""
    request = Request(recipe="fast", data=os.fsdecode(b"caf\xe9"), out=os.fsdecode(b"\xff.safetensors"))
    configuration = {"labels": ["žába", "猫"], "seed": 0}
    path = tmp_path / "configuration.json"
    write_configuration(path, request=request, configuration=configuration, environment={})
    asked, follows = read_configuration(path)
    assert (asked.data, asked.out, follows) == (request.data, request.out, configuration)


def test_whole_paths_mean_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, cache, start, teacher and result; a name that is no path stays, and so does what is not there."""
    monkeypatch.chdir(tmp_path)
    named = Request(
        recipe="taught",
        data="pets",
        cache="c",
        start="s.safetensors",
        teachers=("../t.safetensors", "u.safetensors"),
        out="m.safetensors",
    )
    whole = with_whole_paths(named)
    assert (whole.data, whole.cache, whole.start, whole.out) == tuple(
        str(tmp_path / name) for name in ("pets", "c", "s.safetensors", "m.safetensors")
    )
    assert whole.teachers == (f"{tmp_path}/../t.safetensors", f"{tmp_path}/u.safetensors")
    assert with_whole_paths(whole) == whole
    plain = with_whole_paths(Request(recipe="fast", data="cifar10"))
    assert (plain.data, plain.start, plain.teachers, plain.out) == ("cifar10", None, (), None)


def test_nested_fields_become_names_with_dots() -> None:
    """A recipe is one list of names and values."""
    assert dict(flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]})) == {"a.b": 1, "a.c.d": 2, "e": [3]}


def test_each_field_that_differs_is_named_with_both_values() -> None:
    """Fields that may differ are passed over; what is gone, or new with a value, is told."""
    then = {"seed": 0, "recipe": {"epochs": 10, "shift": 2, "old": 1}}
    now = {"seed": 1, "recipe": {"epochs": 12, "shift": 2, "new": 3}}
    assert differences(now, then, apart_from=("recipe.epochs",)) == [
        "seed is 1 and was 0",
        "recipe.old is 'absent' and was 1",
        "recipe.new is 3 and was 'absent'",
    ]


def test_digests_are_shortened_in_what_differs() -> None:
    """Their first twelve digits, alone and in a list; whoever wants all of them has the files."""
    then, now = {"data": "0a" * 32, "teachers": []}, {"data": "1b" * 32, "teachers": ["sha256:" + "2c" * 32]}
    assert differences(now, then) == [
        "data is '1b1b1b1b1b1b…' and was '0a0a0a0a0a0a…'",
        "teachers is ['sha256:2c2c2c2c2c2c…'] and was []",
    ]


def test_what_a_newer_version_can_do_and_a_run_does_not_is_no_difference() -> None:
    """A run from before `selection` goes on; one that now would have it does not, nor one that lost it."""
    assert differences({"recipe": {"selection": None}}, {"recipe": {}}) == []
    assert differences({"recipe": {"selection": {"share": 0.5}}}, {"recipe": {}}) != []
    assert differences({"recipe": {"selection": None}}, {"recipe": {"selection": {"share": 0.5}}}) != []


def test_on_a_gpu_the_versions_below_pytorch_are_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other kernels round in another way; on a CPU there are none."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Test GPU")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91_000)
    on_cuda, on_cpu = (surroundings(Computing(torch.device(name), torch.float32)) for name in ("cuda", "cpu"))
    assert {key: on_cuda[key] for key in ("hardware", "cuda", "cudnn")} == {
        "hardware": "Test GPU",
        "cuda": "13.0",
        "cudnn": 91_000,
    }
    assert on_cuda.keys() - on_cpu.keys() == {"cuda", "cudnn"}


@pytest.mark.parametrize("recipe", ["taught", "compact"])
def test_a_run_that_an_older_version_taught_is_told_so(recipe: str, tmp_path: Path) -> None:
    """Nobody typed --teacher to resume it; one that had no teacher goes on."""
    path = tmp_path / "configuration.json"
    write_configuration(path, request=Request(recipe=recipe, data="pets"), configuration={}, environment={})
    _change_request(path, teachers=None, teacher=None)
    assert read_configuration(path)[0] == Request(recipe=recipe, data="pets")
    _change_request(path, teacher="t.safetensors")
    with pytest.raises(TrainingError, match=rf"asks for {recipe} with a teacher, .*with --recipe taught"):
        read_configuration(path)


def test_teachers_come_back_as_they_were_written(tmp_path: Path) -> None:
    """In their order."""
    path, request = tmp_path / "configuration.json", Request(recipe="taught", data="pets", teachers=("b", "a"))
    write_configuration(path, request=request, configuration={}, environment={})
    assert read_configuration(path)[0] == request


@pytest.mark.parametrize("teachers", ["abc", [1], {}, 3])
def test_teachers_that_glimpse_did_not_write_are_refused(teachers: object, tmp_path: Path) -> None:
    """A text would be taken for as many teachers as it has letters."""
    path = tmp_path / "configuration.json"
    write_configuration(path, request=Request(recipe="taught", data="pets"), configuration={}, environment={})
    _change_request(path, teachers=teachers)
    with pytest.raises(TrainingError, match=r"is not what Glimpse wrote .*a list of texts is needed"):
        read_configuration(path)


def _change_request(path: Path, **fields: object) -> None:
    """Set fields of what was asked for; one that is not there any more is left out where it is None."""
    whole = json.loads(path.read_text())
    whole["request"] |= fields
    if whole["request"].get("teachers", ()) is None:
        del whole["request"]["teachers"]
    path.write_text(json.dumps(whole))
