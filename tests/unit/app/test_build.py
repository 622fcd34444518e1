"""Which versions run."""

import sys
from importlib.metadata import version

from app.build import versions


def test_the_versions_are_those_of_what_runs() -> None:
    """As they were installed; of PyTorch with the kind of its build."""
    found = versions()
    assert list(found) == ["version", "python", "torch", "pillow"]
    assert found["version"] == version("glimpse")
    assert found["python"] == sys.version.split()[0]
    assert found["torch"].startswith(version("torch").partition("+")[0])
    assert found["pillow"] == version("pillow")
