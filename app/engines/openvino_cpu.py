"""OpenVINO on a CPU: the same network, compiled, with its preprocessing inside."""

import functools
import threading
import warnings

import numpy as np
import openvino
import torch

from models import golden
from models.checkpoint import Checkpoint
from models.preprocessing import Images, Probabilities


class OpenVinoEngine:
    """Runs the compiled network: bfloat16 where the CPU computes in it, else float32.

    Each lane is one thread that computes alone. Threads that share a batch meet after every layer, and wait there
    for whichever of them the event loop or another process has interrupted: with one core taken, two threads on a
    batch were slower than one (docs/benchmarks.md).

    Args:
        checkpoint: whose network is compiled.
        threads: of the CPU.
        max_batch_size: most images of one run.
    """

    name = "openvino"
    device = "cpu"
    BEST_BATCH_SIZE = 32
    """More gained nothing (docs/benchmarks.md), and only made the first of a batch wait."""

    def __init__(self, checkpoint: Checkpoint, *, threads: int, max_batch_size: int) -> None:
        spec = checkpoint.record.input
        core = _core()
        has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.dtype = "bfloat16" if has_bfloat16 else "float32"
        self.tolerance = golden.TOLERANCE[torch.bfloat16 if has_bfloat16 else torch.float32]
        self.max_batch_size = max_batch_size
        self.lanes = threads
        self._shape = (spec.height, spec.width, 3)
        with warnings.catch_warnings():  # the converter traces, which torch has deprecated
            warnings.simplefilter("ignore")
            model = openvino.convert_model(
                checkpoint.network,
                input=[openvino.PartialShape([-1, *self._shape])],
                example_input=torch.zeros(2, *self._shape, dtype=torch.uint8),
            )
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16 else "f32",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,
                "CPU_RUNTIME_CACHE_CAPACITY": 100 * max_batch_size,  # kernels of all layers at all batch sizes
            },
        )
        self._of_this_thread = threading.local()

    def warm_up(self) -> None:
        """Run every batch size once: each costs a thread 5 to 60 ms the first time, when its kernels are made."""
        for size in range(1, self.max_batch_size + 1):
            self.probabilities(np.zeros((size, *self._shape), np.uint8))

    def probabilities(self, images: Images) -> Probabilities:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes)."""
        request = getattr(self._of_this_thread, "request", None)
        if request is None:
            request = self._of_this_thread.request = self._compiled.create_infer_request()
        logits = request.infer([images], share_inputs=True, share_outputs=True)[0]
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities


@functools.cache
def _core() -> openvino.Core:
    """The one Core of the process, never closed.

    Each Core gives its thread another stack for signals, and takes it away when it is closed: two that are not
    closed in the reverse order leave the thread without one, and the next signal, SIGTERM say, ends the process.
    """
    return openvino.Core()
