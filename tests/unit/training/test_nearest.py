"""A slip of the keyboard gets the word that was meant, and nothing else does."""

from pathlib import Path

import pytest

from training.nearest import nearest_data, with_nearest_choice


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (
            "'acurate' is not one of 'fast', 'accurate'.",
            "'acurate' is not one of 'fast', 'accurate'. Did you mean 'accurate'?",
        ),
        ("Value error, 'fats' is not one of 'fast'.", "'fats' is not one of 'fast'. Did you mean 'fast'?"),
        ("Value error, 'slow' is not one of 'fast', 'taught'.", "'slow' is not one of 'fast', 'taught'."),
        ("'gpu' is not one of 'auto', 'cpu', 'cuda'.", "'gpu' is not one of 'auto', 'cpu', 'cuda'."),
        ("it is no number", "it is no number"),
    ],
)
def test_the_choice_that_was_meant_is_added(sentence: str, told: str) -> None:
    """Whatever typer puts before the choices is left out; what is like none of them, and other faults, stay."""
    assert with_nearest_choice(sentence) == told


def test_the_data_that_were_meant_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and archives beside the first part of a path that is not there; words only for a bare name."""
    (tmp_path / "photos" / "pets").mkdir(parents=True)
    (tmp_path / "mnist.npz").touch()
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    for typed, meant in {
        "cifra10": "cifar10",
        "minst.npz": "mnist.npz",
        "photo": "photos",
        "photos/pet": "photos/pets",
        "phtos/pets": "photos",
        str(tmp_path / "photos" / "pest"): str(tmp_path / "photos" / "pets"),
        "photos/cifra10": None,
        "notes": None,
        "/cifra10": None,
    }.items():
        assert nearest_data(typed, words=["cifar10"]) == meant


def test_where_nothing_lies_beside_it_a_word_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a file, without a name, and from a working folder that is gone."""
    (tmp_path / "file.npz").touch()
    (tmp_path / "gone").mkdir()
    assert nearest_data(str(tmp_path / "gone" / "x"), words=[]) is None
    assert nearest_data(str(tmp_path / "file.npz" / "x"), words=[]) == str(tmp_path / "file.npz")
    assert nearest_data("", words=["cifar10"]) is None
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert nearest_data("cifra10", words=["cifar10"]) == "cifar10"
    assert nearest_data("gnoe", words=["cifar10"]) is None


def test_a_folder_that_cannot_be_looked_into_hides_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence is told without a hint, and is no other error."""

    def refuse(_: Path) -> None:
        raise PermissionError

    (tmp_path / "pets").mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert nearest_data(str(tmp_path / "pest"), words=[]) is None
