"""Does an engine answer what PyTorch computes in float32? Labels, scores, and what they are worth as served.

    python -m benchmarks.agreement --data cifar10.npz [--checkpoint FILE] [--engine auto] [--device auto]

The test part of a data set goes through the engine that the service would take, in its own batches, and through
PyTorch on the CPU, which answers what `training evaluate` measures.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from app.engines import Engine, open_engine
from benchmarks.conditions import describe
from models.calibration import Calibration
from models.checkpoint import CHECKPOINTS, load
from models.cores import usable_cores
from models.preprocessing import Answers, Images
from training.data import read_test
from training.measuring.reliability import accepted, measure_reliability

THOUSAND = 1_000


def answers_of(engine: Engine, images: Images) -> Answers:
    """Run pictures in batches as large as the engine takes them."""
    engine.warm_up()
    starts = range(0, len(images), engine.max_batch_size)
    return np.concatenate([engine.answer(images[start : start + engine.max_batch_size]) for start in starts])


def compare(exact: Answers, found: Answers, *, classes: int) -> dict[str, object]:
    """Count labels that stay the same, and find the probability that moves farthest.

    Args:
        exact: float32 (n, columns), of PyTorch.
        found: of the engine, for the same pictures.
        classes: how many of the columns are probabilities.
    """
    is_same = exact[:, :classes].argmax(1) == found[:, :classes].argmax(1)
    thousands = [int(is_same[at : at + THOUSAND].sum()) for at in range(0, len(is_same) - THOUSAND + 1, THOUSAND)]
    return {
        "pictures": len(is_same),
        "same_label": int(is_same.sum()),
        "least_same_of_a_thousand": min(thousands, default=None),
        "largest_move": round(float(np.abs(exact[:, :classes] - found[:, :classes]).max()), 6),
    }


def as_served(
    answers: Answers, targets: torch.Tensor, calibration: Calibration, *, classes: int
) -> dict[str, float]:
    """Measure what the service would answer: accuracy, expected calibration error, and how much it stands by."""
    probabilities = torch.from_numpy(answers[:, :classes])
    distances = torch.from_numpy(answers[:, classes]) if answers.shape[1] > classes else None
    stands = accepted(probabilities, distances, calibration)
    is_right = probabilities.argmax(1) == targets
    return {
        "accuracy": round(is_right.double().mean().item(), 5),
        "calibration_error": round(measure_reliability(probabilities, targets).expected_calibration_error, 5),
        "accepted": round(stands.double().mean().item(), 5),
        "accuracy_of_accepted": round(is_right[stands].double().mean().item(), 5),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both rows and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "cifar10.safetensors")
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--pictures", type=int, help="of the test part, the first; all if left out")
    given = parser.parse_args(arguments)
    checkpoint = load(given.checkpoint)
    classes, calibration = len(checkpoint.record.labels), checkpoint.record.calibration
    name, split = read_test(given.data, checkpoint.record, cache=Path("data"), report=print)
    images, targets = split.images[: given.pictures].numpy(), split.targets[: given.pictures]
    threads = usable_cores()
    engine = open_engine(checkpoint, engine=given.engine, device=given.device, threads=threads)
    found = answers_of(engine, images)
    exact = answers_of(open_engine(load(given.checkpoint), engine="torch", device="cpu", threads=threads), images)
    compared = compare(exact, found, classes=classes)
    worth = {
        "exact": as_served(exact, targets, calibration, classes=classes),
        engine.name: as_served(found, targets, calibration, classes=classes),
    }
    print(f"{name}, {engine.name} in {engine.dtype} on {engine.device}: {compared}")
    for who, figures in worth.items():
        print(f"{who:>9}: {figures}")
    facts = {"digest": checkpoint.digest, "engine": engine.name, "dtype": engine.dtype, **compared, "worth": worth}
    print(json.dumps({**describe("agreement", device=given.device), **facts}))


if __name__ == "__main__":
    main()
