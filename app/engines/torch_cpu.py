"""PyTorch itself on a CPU, in float32: the reference that every other engine is compared with."""

import torch

from models import golden
from models.checkpoint import Checkpoint
from models.graph import answer
from models.preprocessing import Answers, Images


class TorchEngine:
    """Runs the network eagerly, and answers what `training evaluate` answers: of a quantized one within 0.003.

    Args:
        checkpoint: the one whose network is run.
        threads: CPU threads of a run.
        max_batch_size: most images of one run.
    """

    name = "torch"
    device = "cpu"
    dtype = "float32"
    tolerance = golden.TOLERANCE[torch.float32]
    lanes = 1
    checked_sizes = (golden.GOLDEN_COUNT,)
    run_aside = None
    BEST_BATCH_SIZE = 32
    """From 8 on an image costs the same (docs/benchmarks.md, with OpenVINO); a short batch keeps waiting short."""

    def __init__(self, checkpoint: Checkpoint, *, threads: int, max_batch_size: int) -> None:
        self._graph = checkpoint.graph
        self._threads = threads
        self.max_batch_size = max_batch_size

    def warm_up(self) -> None:
        """Do nothing: no kernels are made for a batch size."""

    def answer(self, images: Images) -> Answers:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes), and a last column for a distance."""
        if torch.get_num_threads() != self._threads:  # the number belongs to the calling thread
            torch.set_num_threads(self._threads)
        return answer(self._graph, images)
