"""Anatomy of the classifier

One picture on its way through the served network: the shape after every layer, and what each layer costs in
parameters and operations.
"""

# %% Setup
# The checkpoint is the one that this server answers with: network, labels and input size in one file. It carries
# golden pictures, drawn and not photographed, by which the server checks itself; `picture` says which of them goes
# through. The network is in evaluation mode: layers such as batch normalisation use what they learnt in training,
# and not the one picture that is there. The lab shows the file's name without its folder: to run the code as it is
# shown, start Python in the folder of the checkpoint, with this project on the path, since `models` is a part of
# it.
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load
from models.floor import take_off

checkpoint = load(Path("models/checkpoints/cifar10.safetensors"))
picture = 0
network = checkpoint.network
print(
    checkpoint.record.name, "·", checkpoint.record.architecture.name, "·", len(checkpoint.record.labels), "labels"
)

# %% One picture
# A picture is a block of bytes: height × width × 3 numbers from 0 to 255. The network wants a batch, so there is
# one more axis in front, of size 1. Scaling and moving the colour axis to the front is the network's own first
# layer.
images = torch.from_numpy(checkpoint.golden_images[[picture % len(checkpoint.golden_images)]])
print(images.shape, images.dtype)


# %% A hook on every layer
# A forward hook is a function that PyTorch calls whenever a module has run, with what went in and what came out.
# So one can watch a network without changing it. Only modules without children get one: the others combine them.
# What they call as a plain function on the way, such as an activation, a pooling or an addition, has no hook and
# no row.
class Layer:
    """One row of the table: a module, and what went through it."""

    def __init__(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.name, self.module = name, module
        self.taken, self.given = inputs[0].shape, output.shape
        self.parameters = sum(parameter.numel() for parameter in module.parameters())


layers: list[Layer] = []


def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
    """Write a row whenever that module runs."""
    return module.register_forward_hook(
        lambda module, inputs, output: layers.append(Layer(name, module, inputs, output))
    )


hooks = [watch(name, module) for name, module in network.named_modules() if not list(module.children())]
print(len(hooks), "layers are watched")

# %% Layer by layer
# Read it from top to bottom: the picture gets smaller, and the channels get more. What is lost in places is gained
# in kinds: at the end there are few places left, and many numbers that say what is there. The hooks are removed at
# once, because a hook that is forgotten costs time in every later pass.
with torch.inference_mode():
    logits = network(images)
for hook in hooks:
    hook.remove()
for layer in layers:
    shapes = f"{list(layer.taken)!s:>18} → {list(layer.given)!s:<18}"
    print(f"{layer.name:<20}{type(layer.module).__name__:<16}{shapes}")

# %% Parameters
# A convolution has one small filter for each pair of an input and an output channel, and uses it at every place:
# few numbers, much work. A linear layer has a number for each pair of an input and an output. Most parameters sit
# where both sides have many channels.
for layer in layers:
    print(f"{layer.name:<20}{layer.parameters:>12,}")
total_parameters = sum(parameter.numel() for parameter in network.parameters())
print(f"{'in all':<20}{total_parameters:>12,}")


# %% Operations
# Each output of a convolution is a sum over a filter: one multiplication and one addition for each of its numbers.
# So the operations are 2 × filter size × outputs, and for a linear layer 2 × inputs × outputs. All other layers
# are left out, as is usual: their work is small beside this. Compare with the parameters: the layer with most of
# them is not always the one with most work.
def operations(layer: Layer) -> int:
    """Count multiplications and additions for one picture; 0 for what is no sum over weights."""
    if isinstance(layer.module, nn.Conv2d | nn.Linear):
        weight = layer.module.weight
        return 2 * weight[0].numel() * layer.given.numel()
    return 0


flops = torch.tensor([operations(layer) for layer in layers])
for layer, count in zip(layers, flops.tolist(), strict=True):
    print(f"{layer.name:<20}{count / 1e6:>12,.2f} MFLOP")
print(f"{'in all':<20}{flops.sum().item() / 1e6:>12,.2f} MFLOP")

# %% The answer
# The network gives one number for each label, the logits. Softmax turns them into probabilities that add up to 1,
# without changing their order. Before that the floor is taken off: what a network that has learnt from smoothed
# labels leaves to every label, however clear the picture. The drawings show none of the labels, so no answer is
# the right one; but it is the same every time, and that is what the server checks.
probabilities = take_off(logits, checkpoint.record.calibration.floor).softmax(dim=1)
best = int(probabilities.argmax())
print(checkpoint.record.labels[best], f"{probabilities[0, best].item():.2f}")
