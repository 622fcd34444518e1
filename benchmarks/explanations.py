"""Do heat maps name what the score rests on? Cover what they name, and keep nothing else, and ask again.

    python -m benchmarks.explanations --data cifar10.npz [--checkpoint FILE] [--pictures 200] [--seed 0]

A quarter of each picture's pixels, the hottest, is covered with the mean colour: the lower the score falls, the
better the map. Then everything else is covered: the higher the score stays, the better. Two maps that know nothing
of the network stand beside the others: smooth noise, and nearness to the centre. Source of the measure: Petsiuk et
al., arXiv 1806.07421 (deletion and insertion), with one share instead of all.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam, LayerGradientXActivation, LayerIntegratedGradients
from torch import Tensor

from app.explanation import explained_stage, spread
from benchmarks.conditions import describe
from models.checkpoint import CHECKPOINTS, load
from models.networks.network import Network, Stage
from training.data import read_dataset

SHARE = 0.25
STEPS = (8, 16, 32)


@dataclass(frozen=True)
class Pictures:
    """What is explained.

    Attributes:
        network: in evaluation mode.
        stage: of it, that the methods look at.
        images: uint8 (n, height, width, 3).
        covered: the same, all of the mean colour.
        best: int64 (n,), the classes that the network gives.
    """

    network: Network
    stage: Stage
    images: Tensor
    covered: Tensor
    best: Tensor

    def score(self, images: Tensor) -> float:
        """Mean probability of the best classes for other images."""
        with torch.inference_mode():
            probabilities: Tensor = self.network(images).softmax(1)
        return probabilities.gather(1, self.best[:, None]).mean().item()


def methods(given: Pictures, generator: torch.Generator) -> dict[str, Callable[[], Tensor]]:
    """Name → what makes maps (n, height, width)."""
    network, layer, images, best = given.network, given.stage.module, given.images, given.best
    n, height, width, _ = images.shape

    def over_images(maps: Tensor) -> Tensor:
        added = maps.detach().sum(1).clamp_min(0)  # as the service does
        return spread(added, given.stage, side=(height, width), points=(height, width))

    def activation() -> Tensor:
        found: Tensor = LayerGradientXActivation(network, layer).attribute(images, target=best)
        return found

    def integrated(steps: int) -> Tensor:
        found: Tensor = LayerIntegratedGradients(network, layer).attribute(
            images, baselines=given.covered, target=best, n_steps=steps, internal_batch_size=max(n, 200)
        )
        return over_images(found)

    def centre() -> Tensor:
        rows, columns = (torch.linspace(-1, 1, side).square() for side in (height, width))
        return (2 - rows[:, None] - columns).expand(n, height, width)

    def noise() -> Tensor:
        rough = torch.rand((n, 1, 7, 7), generator=generator)
        return F.interpolate(rough, (height, width), mode="bilinear", align_corners=False)[:, 0]

    def grad_cam() -> Tensor:
        return over_images(LayerGradCam(network, layer).attribute(images, target=best, relu_attributions=True))

    return {
        "Grad-CAM": grad_cam,
        "gradient × activation": lambda: over_images(activation()),
        "LayerCAM": lambda: over_images(activation().clamp_min(0)),
        **{f"integrated gradients, {steps} steps": partial(integrated, steps) for steps in STEPS},
        "noise": noise,
        "centre": centre,
    }


def measure(given: Pictures, maps: Tensor) -> tuple[float, float]:
    """Score with the hottest share covered, and with nothing else left."""
    n, height, width, _ = given.images.shape
    heat = maps.flatten(1)
    hottest = torch.zeros_like(heat, dtype=torch.bool)
    hottest.scatter_(1, heat.topk(round(SHARE * heat.shape[1]), dim=1).indices, value=True)
    is_hot = hottest.view(n, height, width, 1)
    return (
        given.score(torch.where(is_hot, given.covered, given.images)),
        given.score(torch.where(is_hot, given.images, given.covered)),
    )


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "cifar10.safetensors")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    generator = torch.Generator().manual_seed(asked.seed)
    checkpoint = load(asked.checkpoint)
    test = read_dataset(asked.data, seed=asked.seed, cache=Path("data"), report=print).test
    images = test.images[torch.randperm(len(test), generator=generator)[: asked.pictures]]
    mean = torch.tensor(checkpoint.record.input.mean).mul(255).round().to(torch.uint8)
    with torch.no_grad():
        best = checkpoint.network(images).argmax(1)
    network = checkpoint.network.requires_grad_(True)
    stage = explained_stage(network, images[:1])
    given = Pictures(network, stage, images, mean.expand_as(images).contiguous(), best)
    rows = {}
    print(f"{'method':<34}{'hottest covered':>18}{'only they left':>18}{'ms a picture':>16}")
    for name, make in methods(given, generator).items():
        started_s = time.perf_counter()
        maps = make()
        ms = (time.perf_counter() - started_s) * 1000 / len(images)
        covered, left = measure(given, maps)
        rows[name] = {"covered": round(covered, 4), "left": round(left, 4), "ms": round(ms, 2)}
        print(f"{name:<34}{covered:>18.3f}{left:>18.3f}{ms:>16.1f}", flush=True)
    whole = given.score(images)
    print(f"{'nothing covered':<34}{whole:>18.3f}")
    conditions = {"pictures": len(images), "seed": asked.seed, "share": SHARE, "digest": checkpoint.digest}
    conditions |= describe("explanations", device="cpu")
    print(json.dumps({"methods": rows, "nothing_covered": round(whole, 4), **conditions}))


if __name__ == "__main__":
    main()
