"""What a network says to a picture as it is, and to six views of it, before anybody reads it."""

from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from models.graph import Graph, answer
from models.networks.network import Network
from models.views import six_views
from training.chunks import chunks
from training.progress import RunProgress


@dataclass(frozen=True)
class ViewLogits:
    """A network's answers for a split, float32, on the CPU.

    Attributes:
        single_view: logits (n, classes) of the picture as it is, at temperature 1.
        six_views: logits (n, classes), averaged over `models.views.six_views`, at temperature 1.
        features: (n, features) of the picture as it is.
    """

    single_view: Tensor
    six_views: Tensor
    features: Tensor


@torch.inference_mode()
def view_logits(
    network: Network, images: Tensor, *, temperature: float, mirrors: bool, place: str, console: Console
) -> ViewLogits:
    """Run a network over pictures, in float32 on any device.

    Args:
        network: in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).
        temperature: that is inside the network; its logits are multiplied by it.
        mirrors: whether mirror images are among the six views.
        place: what is done, in a word, for the console.
        console: told of the progress.
    """
    device = next(network.parameters()).device
    single: list[Tensor] = []
    six: list[Tensor] = []
    features: list[Tensor] = []
    parts = chunks(images)
    with RunProgress(console, steps=len(parts)) as progress:
        for chunk in parts:
            (weight, view), *others = six_views(chunk.to(device), mirrors=mirrors)
            seen = network.features(view)
            logits = network.logits(seen).float() * temperature
            views = [weight * logits, *(part * network(other).float() * temperature for part, other in others)]
            for found, tensor in ((single, logits), (six, torch.stack(views).sum(0)), (features, seen.float())):
                found.append(tensor.cpu())
            progress.step(place=place, pictures=len(chunk))
    return ViewLogits(torch.cat(single), torch.cat(six), torch.cat(features))


def single_view(network: Network, images: Tensor) -> Tensor:
    """Run a network over pictures as they are.

    Args:
        network: in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).

    Returns:
        float32 (n, classes), probabilities, on the CPU.
    """
    return answers(Graph(network, None), images)


def answers(graph: Graph, images: Tensor) -> Tensor:
    """Run what an engine runs over any number of pictures.

    Args:
        graph: of a checkpoint, in evaluation mode, on its device.
        images: uint8 (n, height, width, 3).

    Returns:
        float32, on the CPU, as `models.graph.answer` returns it for a batch.
    """
    return torch.cat([torch.from_numpy(answer(graph, chunk.numpy())) for chunk in chunks(images)])
