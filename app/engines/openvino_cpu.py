"""OpenVINO on a CPU: the same network, compiled, with its preprocessing inside."""

import functools
import math
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino
import torch

from models import golden
from models.checkpoint import Checkpoint
from models.graph import Graph
from models.networks.byte_filters import with_byte_filters
from models.networks.pixel_stem import with_pixel_stem
from models.networks.quantization import is_quantized
from models.networks.whitened import WhitenedNetwork
from models.preprocessing import Answers, Images

_SHARED_SIZE = 2
"""Most images of a batch that several threads share."""
_MOST_SHARING = 4
"""Most threads that share a batch; more have nothing to do."""
_SHARE_AGAIN_S = 0.05
"""Seconds until a small batch is shared again, to see whether the cores are free: at most one in 50 ms then
takes longer than it had to."""
_TIMED_RUNS = 5
_BYTE_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8"}
_CPUINFO = Path("/proc/cpuinfo")


class OpenVinoEngine:
    """Runs the compiled network: bfloat16 where the CPU computes in it, else float32; a quantized one in bytes.

    In bfloat16 the whitening stem is replaced by its twin that loses nothing (`models/networks/pixel_stem.py`). A
    network without such a stem, the tutorial's, stays in float32: of 10,000 pictures 17 would get another label.
    Of a quantized network the 3×3 convolutions multiply bytes where the CPU has instructions for that, and the
    little that lies between them is float32: bfloat16 there would save 3 % of the time, and lets values fall on
    other levels (docs/experiments.md, 2026-11-25).

    Each lane is one thread that computes alone. Threads that share a batch meet after every layer, and wait there
    for whichever of them the event loop or another process has interrupted: under load that was slower than one
    thread. Only a batch of one or two, which comes when there is little to do, is shared with the core of the
    event loop, and only while that is the faster way (docs/benchmarks.md).

    Args:
        checkpoint: the one whose network is compiled.
        threads: CPU threads, each a lane.
        max_batch_size: most images of one run.
        cpuinfo: Linux's description of the processor; a file that is missing names no instructions.
    """

    name = "openvino"
    device = "cpu"
    BEST_BATCH_SIZE = 16
    """From 8 on a picture costs the same; longer batches only make who comes next wait (docs/benchmarks.md)."""

    def __init__(
        self, checkpoint: Checkpoint, *, threads: int, max_batch_size: int, cpuinfo: Path = _CPUINFO
    ) -> None:
        spec = checkpoint.record.input
        plan = _plan(checkpoint, cpuinfo)
        self.dtype = plan.dtype
        self.tolerance = golden.TOLERANCE[plan.rounds_to]
        self.max_batch_size = max_batch_size
        self.checked_sizes = (1, _SHARED_SIZE, max(golden.GOLDEN_COUNT, max_batch_size))
        self.lanes = threads
        self._shape = (spec.height, spec.width, 3)
        with warnings.catch_warnings():  # the converter traces, which torch has deprecated
            warnings.simplefilter("ignore")
            model = openvino.convert_model(
                plan.graph,
                input=[openvino.PartialShape([-1, *self._shape])],
                example_input=torch.zeros(2, *self._shape, dtype=torch.uint8),
            )

        def compiled(*, streams: int, threads: int) -> openvino.CompiledModel:
            given = {
                "INFERENCE_PRECISION_HINT": "bf16" if plan.rounds_to == torch.bfloat16 else "f32",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
                "ENABLE_CPU_PINNING": False,  # two models would be pinned to the same core
                "CPU_RUNTIME_CACHE_CAPACITY": 100 * max_batch_size,  # kernels of all layers at all batch sizes
            }
            return _core().compile_model(model, "CPU", given)

        self._alone = compiled(streams=threads, threads=threads)
        self._shared = compiled(streams=1, threads=min(threads + 1, _MOST_SHARING))
        self._aside = compiled(streams=1, threads=1).create_infer_request()
        self._of_this_thread = threading.local()

    def warm_up(self) -> None:
        """Run every batch size once: each costs a thread 5 to 60 ms the first time, when its kernels are made."""
        lane = self._lane()
        for size in range(1, self.max_batch_size + 1):
            lane.warm_up(np.zeros((size, *self._shape), np.uint8))

    def answer(self, images: Images) -> Answers:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes), and a last column for a distance."""
        return self._lane().run(images)

    def run_aside(self, images: Images) -> Answers:
        """Classify images on a thread that is no lane; one thread at a time."""
        return _answers(self._aside, images)

    def _lane(self) -> "_Lane":
        """Return the lane of this thread: requests run one at a time, and kernels belong to their thread."""
        try:
            lane: _Lane = self._of_this_thread.lane
        except AttributeError:
            alone, shared = self._alone.create_infer_request(), self._shared.create_infer_request()
            lane = _Lane(alone, shared)
            self._of_this_thread.lane = lane
        return lane


class _Plan(NamedTuple):
    """What is compiled, and how exactly it computes.

    Attributes:
        graph: the checkpoint's, with twins of layers in the place of those that the CPU computes worse.
        dtype: number format of the multiplications, for people.
        rounds_to: dtype of the values between two layers.
    """

    graph: Graph
    dtype: str
    rounds_to: torch.dtype


def _plan(checkpoint: Checkpoint, cpuinfo: Path) -> _Plan:
    graph = checkpoint.graph
    if is_quantized(graph.network):
        if not multiplies_bytes(cpuinfo):
            return _Plan(graph, "float32", torch.float32)
        return _Plan(graph.around(with_byte_filters(graph.network)), "int8", torch.float32)
    # without a whitening stem the pixels themselves would be rounded, and close calls fall otherwise
    if isinstance(graph.network, WhitenedNetwork) and _computes_bfloat16():
        return _Plan(graph.around(with_pixel_stem(graph.network)), "bfloat16", torch.bfloat16)
    return _Plan(graph, "float32", torch.float32)


def _computes_bfloat16() -> bool:
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def multiplies_bytes(cpuinfo: Path = _CPUINFO) -> bool:
    """Say whether the CPU adds up products of bytes in 32 bits; where it uses 16, sums would overflow.

    Args:
        cpuinfo: Linux's description of the processor; a file that is missing names no instructions.
    """
    return bool(_BYTE_INSTRUCTIONS & set(cpuinfo.read_text().split())) if cpuinfo.exists() else False


class _Lane:
    """One thread's two ways to run a batch, and the choice between them.

    A small batch that was shared and took twice as long as it would have alone has met somebody else on the cores,
    decoding threads for instance; for a while no other is shared then.

    Args:
        alone: an OpenVINO request that computes on this thread.
        shared: an OpenVINO request that several threads compute.
    """

    def __init__(self, alone: openvino.InferRequest, shared: openvino.InferRequest) -> None:
        self._alone = alone
        self._shared = shared
        self._alone_s: dict[int, float] = {}
        self._share_again_s = 0.0

    def warm_up(self, images: Images) -> None:
        """Make the kernels of a batch size, and time it where it could be shared."""
        _answers(self._alone, images)
        if len(images) <= _SHARED_SIZE:
            _answers(self._shared, images)
            self._alone_s[len(images)] = min(self._timed(self._alone, images)[1] for _ in range(_TIMED_RUNS))

    def run(self, images: Images) -> Answers:
        """Classify a batch the faster way."""
        if len(images) > _SHARED_SIZE or time.perf_counter() < self._share_again_s:
            return _answers(self._alone, images)
        rows, seconds = self._timed(self._shared, images)
        if seconds > 2 * self._alone_s.get(len(images), math.inf):
            self._share_again_s = time.perf_counter() + _SHARE_AGAIN_S
        return rows

    def _timed(self, request: openvino.InferRequest, images: Images) -> tuple[Answers, float]:
        started_s = time.perf_counter()
        rows = _answers(request, images)
        return rows, time.perf_counter() - started_s


def _answers(request: openvino.InferRequest, images: Images) -> Answers:
    # Read where it lies, so held until the run is over; the request points there until its next input is set.
    readable = np.require(images, requirements=("C", "W"))
    request.set_input_tensor(openvino.Tensor(readable, shared_memory=True))
    request.infer(share_outputs=True)
    scores, *distance = (output.data for output in request.output_tensors)
    probabilities = np.exp(scores - np.maximum.reduce(scores, axis=1, keepdims=True))
    probabilities /= np.add.reduce(probabilities, axis=1, keepdims=True)
    answers: Answers = np.concatenate((probabilities, *distance), axis=1)  # a copy: the next run writes there
    return answers


@functools.cache
def _core() -> openvino.Core:
    """The one Core of the process, never closed.

    Each Core gives its thread another stack for signals, and takes it away when it is closed: two that are not
    closed in the reverse order leave the thread without one, and the next signal, SIGTERM say, ends the process.
    """
    return openvino.Core()
