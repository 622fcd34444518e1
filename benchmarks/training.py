"""How long a step of the `fast` recipe takes, and how much of it is work on the data.

    python -m benchmarks.training [--steps N]

Random pictures of CIFAR-10's size; timings do not depend on what they show. Medians over N steps after
one that is not counted, at each of the recipe's three resolutions.
"""

import argparse
import json
import statistics
import time

import torch

from models.networks import build
from models.networks.fast import FastNetwork
from models.preprocessing import InputSpec
from training.augment import batches, crop, draw_order, resize
from training.devices import choose_device, describe_hardware, fast_dtype, keep_freed_memory
from training.loop import learn, make_optimizers
from training.provenance import current_commit, now_utc
from training.recipes import FastRecipe

PICTURES = 50_000


def time_steps(side: float, *, steps: int, device: torch.device) -> dict[str, float]:
    """Run a few steps at one resolution.

    Returns:
        Medians: milliseconds of data work and of the whole step, pictures per second, and the share
        of the data work, which includes drawing the epoch's order, spread over its steps.
    """
    recipe = FastRecipe()
    dtype = fast_dtype(device)
    images = torch.randint(0, 256, (PICTURES, 32, 32, 3), dtype=torch.uint8).to(device)
    targets = torch.randint(0, 10, (PICTURES,)).to(device)
    network = build(recipe.architecture, classes=10, spec=InputSpec()).to(device)
    network = network.to(memory_format=torch.channels_last)
    assert isinstance(network, FastNetwork)
    network.fit_stem(images[: recipe.stem_pictures])
    optimizers = make_optimizers(recipe, network, dtype=dtype)
    started_s = time.perf_counter()
    order = draw_order(PICTURES, shift=recipe.shift, seed=0, epoch=0).to(device)
    order_s = (time.perf_counter() - started_s) / (PICTURES // recipe.batch_size)
    data_s, whole_s = [], []
    for index, _ in zip(batches(order, recipe.batch_size), range(steps + 1), strict=False):
        started_s = time.perf_counter()
        batch, wanted = resize(crop(images, order, index), side), targets[index]
        if device.type == "cuda":
            torch.cuda.synchronize()
        data_s.append(time.perf_counter() - started_s + order_s)
        learn(recipe, network, optimizers, images=batch, targets=wanted, dtype=dtype)
        whole_s.append(time.perf_counter() - started_s + order_s)
    data, whole = statistics.median(data_s[1:]), statistics.median(whole_s[1:])
    return {
        "side": side,
        "data_ms": round(data * 1000, 2),
        "step_ms": round(whole * 1000, 1),
        "pictures_per_s": round(recipe.batch_size / whole),
        "data_share": round(data / whole, 4),
    }


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    arguments = parser.parse_args()
    keep_freed_memory()
    device = choose_device(arguments.device)
    rows = [time_steps(side, steps=arguments.steps, device=device) for _, side in FastRecipe().resolutions]
    print(f"{'pixels':>6} {'step ms':>9} {'data ms':>9} {'share':>7} {'pictures/s':>11}")
    for row in rows:
        print(
            f"{32 * row['side']:6.0f} {row['step_ms']:9.1f} {row['data_ms']:9.2f} {row['data_share']:7.2%} "
            f"{row['pictures_per_s']:11,.0f}"
        )
    facts = {
        "benchmark": "training",
        "n": arguments.steps,
        "rows": rows,
        "hardware": describe_hardware(device),
        "torch": torch.__version__,
        "commit": current_commit(),
        "at": now_utc(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
