"""What runs the network: one small protocol, and the function that chooses."""

from typing import Protocol

from app.engines.torch import TorchEngine
from models.checkpoint import Checkpoint
from models.preprocessing import Images, Probabilities


class Engine(Protocol):
    """Pixels in, probabilities out; the only thing that the service knows about a network.

    Attributes:
        name: as in the setting `engine`.
        device: as people say it: "cpu", or the accelerator's name.
        dtype: of the arithmetic.
        tolerance: largest difference of one probability from the stored golden answers.
    """

    name: str
    device: str
    dtype: str
    tolerance: float

    def probabilities(self, images: Images) -> Probabilities:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes); called by one thread at a time."""
        ...


def open_engine(checkpoint: Checkpoint, *, engine: str, device: str) -> Engine:
    """Make the engine that the settings ask for.

    Args:
        checkpoint: already checked.
        engine: "torch" or "auto", which is the same until there are more.
        device: "auto", "cpu" or "cuda".

    Raises:
        DeviceError: CUDA was asked for and there is none.
    """
    assert engine in {"auto", "torch"}
    return TorchEngine(checkpoint.network, device=device)
