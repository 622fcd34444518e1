"""What constraints.txt promises: the versions that the tests passed with, for whoever installs after them."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    Requirement(line)
    for line in itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
]


@pytest.fixture
def versions() -> dict[str, str]:
    """The version of each distribution, by its name as package indexes spell it."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_every_dependency_has_a_version(wanted: Requirement, versions: dict[str, str]) -> None:
    """What pyproject.toml asks for is there, in a version that it allows: a new dependency is not forgotten."""
    assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)])


def test_nothing_is_of_one_processor(versions: dict[str, str]) -> None:
    """CUDA's parts are left to PyTorch, which names their versions itself, others for other processors."""
    assert not [name for name in versions if re.match("nvidia-|cuda-|triton$", name)]


def test_make_installs_them() -> None:
    """`make install` and `make serve` take them, and install again when they have changed."""
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(r"^CONSTRAINTS \?= constraints\.txt$", makefile, flags=re.MULTILINE)
    assert re.search(r"^\$\(STAMP\) \$\(SERVICE_STAMP\): .*constraints\.txt", makefile, flags=re.MULTILINE)
    assert "pip install --disable-pip-version-check --quiet --constraint $(CONSTRAINTS) --editable" in makefile
