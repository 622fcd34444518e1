"""docs/architecture.md names every module of models/."""

from pathlib import Path

import models

FOLDER = Path(models.__file__).parent


def test_the_architecture_names_every_module() -> None:
    """In the words about the checkpoint, the network, or a request."""
    text = (FOLDER.parent / "docs" / "architecture.md").read_text()
    modules = [path for path in FOLDER.rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in modules if f"`{path.name}`" not in text and f"/{path.name}`" not in text] == []
