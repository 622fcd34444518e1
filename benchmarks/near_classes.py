"""How well a network tells classes that nobody has shown it: train without some, and ask it about them.

    python -m benchmarks.near_classes --data cifar10.npz [--without cat,horse,truck] [--epochs 5] [--seed 0]

Pictures of classes that were left out look like the others in everything but what they show, so this is the
hardest and the most honest kind of outliers. The other kinds are drawn (`training.measuring.outliers`). Training,
held-out part and calibration are those of `python -m training train --recipe fast`. The test part of the classes
that were learnt stands against the test part of those that were left out.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import describe
from models.checkpoint import load
from training.cli import run
from training.data import read_dataset
from training.data.dataset import Dataset, Split
from training.errors import DataError
from training.measuring.outliers import draw_outliers
from training.measuring.rejection import measure_rejection, rejection_lines

LEFT_OUT = "left-out classes"


def divide(dataset: Dataset, without: list[str]) -> tuple[Dataset, Split]:
    """Take classes out of a data set.

    Args:
        dataset: with all classes.
        without: labels to take out.

    Returns:
        The data set without them, and their test part.

    Raises:
        DataError: a label is not there, or fewer than two would remain.
    """
    unknown = sorted(set(without) - set(dataset.labels))
    kept = [label for label in dataset.labels if label not in without]
    if unknown or len(kept) < 2:
        raise DataError(
            f"--without {','.join(without)}: of the labels {', '.join(dataset.labels)} at least two must remain, "
            f"and {', '.join(unknown) or 'none'} is not among them."
        )
    places = torch.full((len(dataset.labels),), -1)
    places[[dataset.labels.index(label) for label in kept]] = torch.arange(len(kept))

    def part(split: Split, *, is_kept: bool) -> Split:
        chosen = (places[split.targets] >= 0) == is_kept
        return Split(split.images[chosen], places[split.targets[chosen]])

    smaller = Dataset(
        dataset.name, tuple(kept), part(dataset.train, is_kept=True), part(dataset.test, is_kept=True)
    )
    return smaller, part(dataset.test, is_kept=False)


def main() -> None:
    """Train, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--without", default="cat,horse,truck")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--count", type=int, default=500, help="pictures of each drawn kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    given = parser.parse_args()
    everything = read_dataset(given.data, seed=given.seed, cache=Path("data"), report=print)
    dataset, strangers = divide(everything, given.without.split(","))
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "kept.npz", Path(folder) / "kept.safetensors"
        write_archive(archive, dataset)
        options = [f"--data={archive}", f"--out={out}", f"--epochs={given.epochs}", f"--seed={given.seed}"]
        if code := run(["train", "--recipe=fast", f"--device={given.device}", *options]):
            raise SystemExit(code)
        checkpoint = load(out)
    kinds = draw_outliers(dataset.test.images, count=given.count, seed=given.seed)
    kinds[LEFT_OUT] = strangers.images
    calibration = checkpoint.record.calibration
    results = measure_rejection(checkpoint.graph, dataset.test.images, kinds, calibration)
    print("\n".join(rejection_lines(results, may_abstain=calibration.may_abstain)))
    facts = {
        **describe("near_classes", device=given.device),
        "without": given.without.split(","),
        "epochs": given.epochs,
        "seed": given.seed,
        "metrics": {
            name: asdict(checkpoint.record.metrics)[name]
            for name in ("n", "accuracy", "expected_calibration_error", "accepted", "accuracy_of_accepted")
        },
        "rejection": {kind: asdict(result) for kind, result in results.items()},
    }
    print(json.dumps(facts))


def write_archive(path: Path, dataset: Dataset) -> None:
    """Write a data set as `--data FILE.npz` reads it."""
    np.savez(
        path,
        x_train=dataset.train.images.numpy(),
        y_train=dataset.train.targets.numpy(),
        x_test=dataset.test.images.numpy(),
        y_test=dataset.test.targets.numpy(),
        labels=np.array(dataset.labels),
    )


if __name__ == "__main__":
    main()
