"""A service over the tiny checkpoint, with an engine that knows the golden pictures by heart."""

from pathlib import Path
from typing import Any

import numpy as np

from app.service import Service
from app.settings import Settings
from models.checkpoint import Checkpoint, load
from models.preprocessing import Answers, Images


class GoldenEngine:
    """Gives the golden answers, in their order, or others.

    Attributes:
        is_wrong: whether it gives others.
    """

    name, device, dtype, tolerance, max_batch_size, lanes = "golden", "nowhere", "float32", 1e-3, 32, 1
    run_aside, checked_sizes = None, (32,)

    def __init__(self, checkpoint: Checkpoint, *, is_wrong: bool) -> None:
        self.is_wrong = is_wrong
        self._golden = checkpoint.golden_probabilities

    def warm_up(self) -> None:
        """Nothing."""

    def answer(self, images: Images) -> Answers:
        """Repeat them."""
        answers = np.resize(self._golden, (len(images), self._golden.shape[1]))
        return answers[:, ::-1] if self.is_wrong else answers


def opened(path: Path, *, is_wrong: bool = False, **limits: Any) -> Service:
    """A service that has not started.

    Args:
        path: of the checkpoint.
        is_wrong: whether its engine gives wrong answers.
        limits: settings in place of the defaults, whether they agree or not.
    """
    settings = Settings(checkpoint=path, engine="torch", device="cpu").model_copy(update=limits)
    checkpoint = load(path)
    return Service(settings, opened=(checkpoint, GoldenEngine(checkpoint, is_wrong=is_wrong)))


def trusted(path: Path, **limits: Any) -> Service:
    """One that lets requests in, though no engine runs: its golden answers count as right."""
    service = opened(path, **limits)
    service.judge.trust()
    return service


def shown(service: Service) -> set[str]:
    """The lines of a scrape, with all refusals told."""
    service.refusals.tell()
    return set(service.metrics.exposition().decode().splitlines())
