"""PyTorch on CUDA: half precision, channels-last, pinned staging, one CUDA graph for each of a few batch sizes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.engines.recovery import Recovery
from app.errors import DeviceError
from app.logs import SERVICE
from models import golden
from models.checkpoint import Checkpoint
from models.memory import lacks_device_memory
from models.preprocessing import Answers, Images

T = TypeVar("T")


class _Recorded(NamedTuple):
    """A run of one batch size, and the device memory that it reads and writes."""

    recording: torch.cuda.CUDAGraph
    images: Tensor
    answers: Tensor


class CudaEngine:
    """Replays recorded runs; a batch is padded up to the next recorded size.

    A graph costs one launch where the eager network costs sixty, and that is most of the time of a small batch.
    Weights stay in float32 and are rounded under autocast: copies in half precision may overflow in the statistics
    of a batch normalisation.

    Args:
        checkpoint: the one whose network is run; it is moved to the device.
        max_batch_size: most images of one run; fewer where the device's memory does not hold so many.

    Raises:
        DeviceError: there is no CUDA device, or no room on it.
    """

    name = "torch"
    dtype = "float16"
    tolerance = golden.TOLERANCE[torch.float16]
    lanes = 1
    run_aside = None
    BEST_BATCH_SIZE = 256

    def __init__(self, checkpoint: Checkpoint, *, max_batch_size: int) -> None:
        if not torch.cuda.is_available():
            raise DeviceError(
                "The device is cuda, and there is no CUDA device here. Use --device cpu (GLIMPSE_DEVICE), check "
                "the driver with nvidia-smi, or start the container with --gpus all."
            )
        spec = checkpoint.record.input
        shape = (max_batch_size, spec.height, spec.width, 3)
        # For explanations: they are made in float32, which TF32 is not.
        torch.backends.cudnn.allow_tf32 = False
        try:
            self.device = torch.cuda.get_device_name()
            self._graph = checkpoint.graph.to("cuda").to(memory_format=torch.channels_last)
            self._stream = torch.cuda.Stream()
            self._pool = torch.cuda.graph_pool_handle()
            self._staged_images = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
            self._staged_answers = torch.empty(max_batch_size, checkpoint.answer_columns, pin_memory=True)
            self._recorded = record_what_fits(
                lambda size: self._record((size, *shape[1:])), max_batch_size, release=torch.cuda.empty_cache
            )
        except RuntimeError as error:  # no memory left, or a driver that does not fit
            raise DeviceError(
                f"The network cannot be run on CUDA ({error}). Free it, use a smaller GLIMPSE_MAX_BATCH_SIZE, "
                "or use --device cpu (GLIMPSE_DEVICE)."
            ) from error
        self.max_batch_size = max(self._recorded)
        self.checked_sizes = tuple(self._recorded)
        self._recovery = Recovery(
            release=torch.cuda.empty_cache, is_lost=partial(_is_lost, self._stream), most=self.max_batch_size
        )

    def warm_up(self) -> None:
        """Leave this thread one core: every batch size is recorded already, and the GPU does the rest."""
        torch.set_num_threads(1)

    def answer(self, images: Images) -> Answers:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes), and a last column for a distance."""
        return self._recovery(self._replay, images)

    def _replay(self, images: Images) -> Answers:
        count = len(images)
        recorded = self._recorded[next(size for size in self._recorded if size >= count)]
        self._staged_images[:count].copy_(torch.from_numpy(np.ascontiguousarray(images)))
        with torch.cuda.stream(self._stream):
            recorded.images[:count].copy_(self._staged_images[:count], non_blocking=True)
            recorded.recording.replay()
            self._staged_answers[:count].copy_(recorded.answers[:count], non_blocking=True)
        self._stream.synchronize()
        return self._staged_answers[:count].numpy().copy()

    @torch.no_grad()  # not inference mode: its tensors could not be written to by a replay outside of it
    def _record(self, shape: tuple[int, ...]) -> _Recorded:
        images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # cuDNN chooses its kernels before they are recorded
                self._forward(images)
        self._stream.synchronize()
        recording = torch.cuda.CUDAGraph()
        # thread_local: while a reload records here, the old engine goes on in its own thread. It may wait for its
        # stream, but never for the device: that would break the recording.
        with torch.cuda.graph(recording, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            answers = self._forward(images)
        return _Recorded(recording, images, answers)

    def _forward(self, images: Tensor) -> Tensor:
        # No cache: a weight that was rounded outside of a recording would be freed before its replay.
        with torch.autocast("cuda", torch.float16, cache_enabled=False):
            return self._graph.answers(images)


def batch_sizes(largest: int) -> list[int]:
    """List the batch sizes that are recorded: powers of two, and the largest itself; ascending."""
    return sorted({*(2**power for power in range(largest.bit_length()) if 2**power <= largest), largest})


def record_what_fits(record: Callable[[int], T], largest: int, *, release: Callable[[], None]) -> dict[int, T]:
    """Record the batch sizes that the device's memory holds, and warn where it does not hold all.

    Recording takes memory, replaying none. The largest size comes first: the others then share its memory.

    Args:
        record: batch size in images → what is recorded for it.
        largest: largest batch size in images, tried first.
        release: gives cached memory back.

    Returns:
        Batch size in images → what was recorded for it; at least one size, ascending.

    Raises:
        RuntimeError: there is no memory for one image, or something else is wrong.
    """
    sizes = batch_sizes(largest)
    recorded: dict[int, T] = {}
    for size in reversed(sizes):
        try:
            recorded[size] = record(size)
        except RuntimeError as error:
            if not lacks_device_memory(error) or (size == 1 and not recorded):
                raise
        if size not in recorded:
            release()  # only now: the error held what had been taken
    if len(recorded) < len(sizes):
        fields = {
            "not_recorded": [size for size in sizes if size not in recorded],
            "max_batch_size": max(recorded),
        }
        SERVICE.warning("out of device memory", extra={"fields": fields})
    return dict(sorted(recorded.items()))


def _is_lost(stream: torch.cuda.Stream) -> bool:
    """Say whether all calls fail until the process ends, as after some errors; waiting for any stream shows it."""
    try:
        stream.synchronize()
    except RuntimeError:
        return True
    return False
