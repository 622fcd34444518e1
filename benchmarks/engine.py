"""What an engine makes of a batch, against a plain forward pass of the same network.

    python -m benchmarks.engine [--engine auto] [--device auto] [--threads N] [--max-batch-size N]

Both get uint8 pixels in memory and give float32 probabilities in memory, so copies to an accelerator and
back count for both. The plain forward is what a careful user of PyTorch writes: eager, channels-last,
inference mode, in each dtype that the device is good at. Medians over as many runs as fit into half a second
(at least five) after two that are not counted. Random pixels: timings do not depend on what they show.
An engine is timed up to the batch size that the service would let it run; --max-batch-size shows larger ones.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from app.engines import open_engine
from benchmarks.conditions import describe
from benchmarks.plain_network import plain_network
from models.checkpoint import CHECKPOINTS, load
from models.cores import usable_cores
from models.graph import Graph, answer
from models.networks.network import Network
from models.preprocessing import Images, InputSpec, Probabilities

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BUDGET_S = 0.5
LEAST_RUNS = 5
WARM_UPS = 2

Forward = Callable[[Images], Probabilities]


@dataclass(frozen=True)
class Timing:
    """One batch size on one way to run the network."""

    way: str
    batch: int
    ms: float
    pictures_per_s: float
    n: int


def time_batch(way: str, forward: Forward, images: Images) -> Timing:
    """Run one batch again and again for half a second."""
    for _ in range(WARM_UPS):
        forward(images)
    durations_s: list[float] = []
    give_up_s = time.perf_counter() + BUDGET_S
    while len(durations_s) < LEAST_RUNS or time.perf_counter() < give_up_s:
        started_s = time.perf_counter()
        forward(images)
        durations_s.append(time.perf_counter() - started_s)
    median_s = statistics.median(durations_s)
    return Timing(way, len(images), round(median_s * 1000, 3), round(len(images) / median_s, 1), len(durations_s))


def time_way(way: str, forward: Forward, *, spec: InputSpec, largest: int) -> list[Timing]:
    """Time every batch size up to the largest that this way takes."""
    rng = np.random.default_rng(0)
    sizes = [size for size in BATCHES if size <= largest]
    return [
        time_batch(way, forward, rng.integers(0, 256, (size, spec.height, spec.width, 3), dtype=np.uint8))
        for size in sizes
    ]


def plain_ways(checkpoint: Path, device: torch.device) -> dict[str, Forward]:
    """The plain forward passes that a device is good at, each with a network of its own.

    On CUDA half precision is tried both as autocast and as half-precision weights: the second saves the
    casts and is the faster one for small batches, so that the better of the two is what an engine must beat.
    """
    network = plain_network(load(checkpoint)).to(device)
    reduced = torch.float16 if device.type == "cuda" else torch.bfloat16
    ways: dict[str, Forward] = {
        "plain float32": partial(_run_plain, network, nullcontext),
        f"plain {_name(reduced)} autocast": partial(
            _run_plain, network, partial(torch.autocast, device.type, reduced)
        ),
    }
    if device.type == "cuda":
        halved = plain_network(load(checkpoint)).to(device).half()
        ways["plain float16 weights"] = partial(_run_plain, halved, nullcontext)
    return ways


def best(timings: list[Timing]) -> Timing:
    """The batch size with the most pictures a second."""
    return max(timings, key=lambda timing: timing.pictures_per_s)


def _run_plain(
    network: Network, precision: Callable[[], AbstractContextManager[object]], images: Images
) -> Probabilities:
    with precision():
        return answer(Graph(network, None), images)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _print_table(timings: list[Timing]) -> None:
    ways = list(dict.fromkeys(timing.way for timing in timings))
    cells = {(timing.way, timing.batch): timing for timing in timings}
    print("batch " + " ".join(f"{way:>30}" for way in ways) + "   (ms, pictures/s)")
    for batch in BATCHES:
        row = [cells.get((way, batch)) for way in ways]
        print(
            f"{batch:5} "
            + " ".join(f"{cell.ms:14.2f} {cell.pictures_per_s:15,.0f}" if cell else f"{'–':>30}" for cell in row)
        )


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "cifar10.safetensors")
    parser.add_argument("--engine", choices=["auto", "torch", "openvino"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--max-batch-size", type=int, default=0, help="0 leaves it to the engine")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    checkpoint = load(given.checkpoint)
    engine = open_engine(
        checkpoint,
        engine=given.engine,
        device=given.device,
        threads=given.threads,
        max_batch_size=given.max_batch_size,
    )
    spec, way = checkpoint.record.input, f"{engine.name} {engine.dtype}"
    engine_rows = time_way(way, engine.answer, spec=spec, largest=engine.max_batch_size)
    on_cuda = engine.device != "cpu"
    plain_rows = [
        timing
        for name, forward in plain_ways(given.checkpoint, torch.device("cuda" if on_cuda else "cpu")).items()
        for timing in time_way(name, forward, spec=spec, largest=BATCHES[-1])
    ]
    _print_table(engine_rows + plain_rows)
    ours, theirs = best(engine_rows), best(plain_rows)
    ratio = round(ours.pictures_per_s / theirs.pictures_per_s, 2)
    print(
        f"\nbest: {ours.way} {ours.pictures_per_s:,.0f} pictures/s at {ours.batch}; {theirs.way} "
        f"{theirs.pictures_per_s:,.0f} at {theirs.batch}; ratio {ratio}"
    )
    facts = {
        **describe("engine", device="cuda" if on_cuda else "cpu"),
        "engine": {"name": engine.name, "device": engine.device, "dtype": engine.dtype},
        "threads": given.threads,
        "checkpoint": checkpoint.digest,
        "best": asdict(ours),
        "best_plain": asdict(theirs),
        "ratio": ratio,
        "rows": [asdict(timing) for timing in engine_rows + plain_rows],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
