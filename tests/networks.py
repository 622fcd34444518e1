"""Networks that a test says in a few lines."""

from torch import Tensor, nn

from models.networks.network import Network
from models.preprocessing import InputSpec


class Headless(Network):
    """A network whose features are its logits: a test says in `features` what it answers.

    Args:
        classes: number of features and of logits.
    """

    def __init__(self, *, classes: int) -> None:
        super().__init__(InputSpec())
        self._classes = classes

    @property
    def feature_count(self) -> int:
        return self._classes

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        return ()

    def logits(self, features: Tensor) -> Tensor:
        return features / self.temperature
