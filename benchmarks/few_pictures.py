"""What the weights of another training bring where there are few pictures: `--start`, with classes that are new.

    python -m benchmarks.few_pictures --data cifar10.npz [--new plane,frog,horse] [--counts 30 100] [--seeds 3]
                                      [--epochs 16] [--start CHECKPOINT]

First `compact` learns all classes but the new ones, a tenth of the pictures treated as photographs. Then a few
pictures of each new class are learnt, in three ways: by `fast` and by `compact` from random weights, and by
`compact` from the weights of that first training. All of it through `python -m training train`, with nothing
held out of the few, and measured on all test pictures of the new classes. `--start` names the first training's
checkpoint where there is one already; it must not have seen the new classes.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.conditions import describe
from benchmarks.near_classes import divide, write_archive
from models.checkpoint import load
from training.cli import run
from training.data import read_dataset
from training.data.dataset import Dataset, Split
from training.errors import DataError


def only_a_few(dataset: Dataset, *, count: int, seed: int) -> Dataset:
    """Leave so many training pictures of each class, and all test pictures.

    Args:
        dataset: with at least as many of each class.
        count: of each class.
        seed: draws them.

    Raises:
        DataError: of a class there are fewer.
    """
    fewest = int(dataset.train.targets.bincount(minlength=len(dataset.labels)).min())
    if fewest < count:
        raise DataError(f"{count} pictures of each class are wanted; of one there are {fewest}.")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset.train), generator=generator)
    targets = dataset.train.targets[order]
    kept = torch.cat([order[targets == place][:count] for place in range(len(dataset.labels))])
    few = Split(dataset.train.images[kept], dataset.train.targets[kept])
    return Dataset(dataset.name, dataset.labels, few, dataset.test)


def main() -> None:
    """Train, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--new", default="plane,frog,horse", help="classes that the first training does not see")
    parser.add_argument("--counts", type=int, nargs="+", default=[30, 100], help="pictures of each new class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=16, help="of the first training")
    parser.add_argument("--start", type=Path)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    given = parser.parse_args()
    everything = read_dataset(given.data, seed=0, cache=Path("data"), report=print)
    new = given.new.split(",")
    if not (set(new) <= set(everything.labels) and 2 <= len(new) <= len(everything.labels) - 2):
        raise DataError(f"--new {given.new}: name at least two of {', '.join(everything.labels)}, and leave two.")
    known, _ = divide(everything, new)
    unseen, _ = divide(everything, list(known.labels))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = given.start or folder / "start.safetensors"
        if given.start is None:
            _train(known, "compact", start, "--epochs", given.epochs, "--photographs", 0.1, device=given.device)
        first = load(start)
        if shared := set(first.record.labels) & set(unseen.labels):
            raise DataError(f"--start {start} knows {', '.join(sorted(shared))}: these would not be new.")
        ways: dict[str, tuple[object, ...]] = {
            "fast": ("fast",),
            "compact": ("compact",),
            "compact with --start": ("compact", "--start", start),
        }
        found: list[dict[str, Any]] = []
        for count in given.counts:
            for seed in range(given.seeds):
                few = only_a_few(unseen, count=count, seed=seed)
                for way, (recipe, *options) in ways.items():
                    out = folder / "few.safetensors"
                    _train(few, str(recipe), out, "--seed", seed, "--held-out", 0, *options, device=given.device)
                    record = load(out).record
                    seconds = record.training.seconds
                    found.append(
                        {"way": way, "count": count, "seed": seed, "seconds": seconds, **record.metrics.accuracy}
                    )
                    print(json.dumps(found[-1]), flush=True)
    print("\n".join(to_lines(found)))
    facts = {
        **describe("few_pictures", device=given.device),
        "new": new,
        "start": {
            "digest": first.digest,
            "commit": first.record.training.commit,
            "epochs": first.record.training.configuration["epochs"],
            "single_view": first.record.metrics.accuracy["single_view"],
        },
        "runs": found,
    }
    print(json.dumps(facts))


def to_lines(found: list[dict[str, Any]]) -> list[str]:
    """Write a line for each number of pictures and way: means over the seeds, with one view its range as well.

    Args:
        found: of each training its way, the pictures of a class, both accuracies as fractions, and the seconds.
    """
    lines = []
    for count, way in dict.fromkeys((each["count"], each["way"]) for each in found):
        alike = [each for each in found if (each["count"], each["way"]) == (count, way)]
        single = [100 * each["single_view"] for each in alike]
        six = statistics.mean(100 * each["six_views"] for each in alike)
        seconds = statistics.mean(each["seconds"] for each in alike)
        lines.append(
            f"{count} of a class, {way}: {statistics.mean(single):.1f} % ({min(single):.1f} to {max(single):.1f}) "
            f"single view, {six:.1f} % six views, {seconds:.0f} s, n = {len(alike)}"
        )
    return lines


def _train(dataset: Dataset, recipe: str, out: Path, *options: object, device: str) -> None:
    archive = out.with_suffix(".npz")
    write_archive(archive, dataset)
    given = ["--recipe", recipe, "--data", archive, "--out", out, "--device", device, *options]
    if code := run(["train", *map(str, given)]):
        raise SystemExit(code)


if __name__ == "__main__":
    main()
