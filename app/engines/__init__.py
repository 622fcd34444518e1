"""What runs the network: one small protocol, and the function that chooses."""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol, cast

import torch

from app.engines.torch_cpu import TorchEngine
from app.engines.torch_cuda import CudaEngine
from app.errors import MissingEngineError
from app.logs import SERVICE
from models.checkpoint import Checkpoint
from models.preprocessing import Answers, Images


class Engine(Protocol):
    """Pixels in, answers out; the only thing that the service knows about a network.

    Attributes:
        name: a value of the setting `engine`.
        device: "cpu", or the accelerator's name.
        dtype: number format of the arithmetic, for people: "float32", "int8", …
        tolerance: largest difference of one probability from the stored golden answers.
        max_batch_size: most images of one run.
        lanes: number of threads that may run it at the same time.
        checked_sizes: batch sizes in which the golden pictures must pass, so that all that it has compiled or
            recorded has answered them.
        run_aside: `answer` for a thread that is no lane, one thread at a time; None where that is no gain.
    """

    name: str
    device: str
    dtype: str
    tolerance: float
    max_batch_size: int
    lanes: int

    @property
    def checked_sizes(self) -> Sequence[int]: ...

    @property
    def run_aside(self) -> Callable[[Images], Answers] | None: ...

    def warm_up(self) -> None:
        """Do what a thread would otherwise do in its first runs, whatever their size."""
        ...

    def answer(self, images: Images) -> Answers:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes).

        A checkpoint with a distance (`models.distance`) has one more column for it, the last.
        """
        ...


def takes_cuda(engine: str, device: str) -> bool:
    """Say whether the network will run on CUDA; whoever chose the CPU has no driver loaded for the question.

    Args:
        engine: "torch", "openvino" or "auto"; OpenVINO runs on the CPU.
        device: "auto", "cpu" or "cuda"; False for "cuda" where there is no such device, which is then refused.
    """
    return device != "cpu" and engine != "openvino" and torch.cuda.is_available()


def open_engine(
    checkpoint: Checkpoint, *, engine: str, device: str, threads: int, max_batch_size: int = 0
) -> Engine:
    """Make the engine that the settings ask for.

    Args:
        checkpoint: one that passed every check.
        engine: "torch", "openvino" or "auto": torch on CUDA, else openvino if it is installed, else torch.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads that the engine may use.
        max_batch_size: most images of one run; 0 leaves it to the engine.

    Raises:
        DeviceError: CUDA was asked for and there is none.
        MissingEngineError: OpenVINO was asked for where it cannot run; with "auto" torch takes its place.
    """
    if engine == "openvino" and device == "cuda":
        raise MissingEngineError(
            "The engine openvino runs on the CPU. Use --device cpu (GLIMPSE_DEVICE), or the engine torch."
        )
    if device == "cuda" or takes_cuda(engine, device):  # the former also where there is none: it says so
        return CudaEngine(checkpoint, max_batch_size=max_batch_size or CudaEngine.BEST_BATCH_SIZE)
    if engine != "torch":
        try:
            return _open_openvino(checkpoint, threads=threads, max_batch_size=max_batch_size)
        except MissingEngineError as error:
            if engine == "openvino":
                raise
            if find_spec("openvino") is not None:
                SERVICE.warning("torch runs the network", extra={"fields": {"reason": str(error)}})
    return TorchEngine(checkpoint, threads=threads, max_batch_size=max_batch_size or TorchEngine.BEST_BATCH_SIZE)


def _open_openvino(checkpoint: Checkpoint, *, threads: int, max_batch_size: int) -> Engine:
    """Import OpenVINO, which is installed only where it is wanted.

    Raises:
        MissingEngineError: it is not installed, or not all of it can be loaded.
    """
    if find_spec("openvino") is None:
        raise MissingEngineError("The engine openvino is not installed: pip install openvino")
    # Its telemetry is on by default: at every start it writes into the home folder, and calls a server.
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    try:
        from app.engines.openvino_cpu import OpenVinoEngine  # noqa: PLC0415 - see above
    except ImportError as error:
        raise MissingEngineError(
            f"The engine openvino is installed but cannot be loaded ({error}). Install it again, or use "
            "--engine torch."
        ) from error
    return OpenVinoEngine(
        checkpoint, threads=threads, max_batch_size=max_batch_size or OpenVinoEngine.BEST_BATCH_SIZE
    )
