"""A service over the tiny checkpoint, with an engine that knows the golden pictures by heart."""

from pathlib import Path
from typing import Any

from app.service import Service
from app.settings import Settings
from models.checkpoint import load
from tests.unit.app.test_served_model import GoldenEngine


def opened(path: Path, *, is_wrong: bool = False, **limits: Any) -> Service:
    """A service that has not started.

    Args:
        path: of the checkpoint.
        is_wrong: whether its engine gives wrong answers for all golden pictures together.
        limits: settings in place of the defaults, whether they agree or not.
    """
    settings = Settings(checkpoint=path, engine="torch", device="cpu").model_copy(update=limits)
    checkpoint = load(path)
    engine = GoldenEngine(checkpoint)
    if is_wrong:
        engine.wrong_sizes = {len(checkpoint.golden_images)}
    return Service(settings, opened=(checkpoint, engine))


def trusted(path: Path, **limits: Any) -> Service:
    """One that lets requests in, though no engine runs: its golden answers count as right."""
    service = opened(path, **limits)
    service.judge.trust()
    return service


def shown(service: Service) -> set[str]:
    """The lines of a scrape, with all refusals and all answers told."""
    service.refusals.tell()
    service.predictions.tell()
    return set(service.metrics.exposition().decode().splitlines())
