"""A graph that depends on the data

Autograd writes down what a forward pass really did. With an ordinary loop and an ordinary `if`, another input
leaves another graph, and the gradients are still right.
"""

# %% Setup
# These are the values that you can change. Only `weight` asks for gradients, so only what is computed from it is
# written down. float64 is for the check below: differences of nearly equal numbers need its digits.
import torch
from torch import Tensor

size = 3
target = 4.0
most_steps = 6
seed = 0
device = "cpu"
generator = torch.Generator(device).manual_seed(seed)
x = torch.randn(size, generator=generator, dtype=torch.float64, device=device)
weight = torch.randn(size, generator=generator, dtype=torch.float64, device=device, requires_grad=True)
print(x)
print(weight)


# %% A forward pass with a loop and a branch
# The product is doubled until it is long enough: how often depends on the numbers. Then its sum decides which
# formula makes the loss. This is plain Python, which runs anew for every input; no part of it has to be declared
# before.
def forward(w: Tensor, data: Tensor) -> tuple[Tensor, str]:
    """Return the loss, and what was done to get it."""
    y = w * data
    steps = 0
    while y.norm() < target and steps < most_steps:
        y = y * 2
        steps += 1
    if y.sum() > 0:
        return y.square().mean(), f"doublings: {steps}, then the mean of squares"
    return y.tanh().sum(), f"doublings: {steps}, then the sum of tanh"


loss, story = forward(weight, x)
print(story)
print(loss)

# %% The graph that it left [graph: loss]
# Every result knows the function that made it, and each function those before it. So from `loss` one can walk back
# to `weight`, the leaf, and the backward pass does just that. The loop is not in the graph: its turns are, one
# multiplication each, and of the branch only the side that was taken.
assert loss.grad_fn is not None
print(loss.grad_fn.name())
print([function.name() for function, _ in loss.grad_fn.next_functions if function is not None])

# %% Another input, another graph [graph: other_loss]
# The same function, with an input a tenth as large and of the other sign. The loop turns at least as often, and
# the sum has the other sign, so the other formula makes the loss. The graph is another one. A graph that is
# declared once, before the data comes, would need special nodes for loops and branches.
other = x * -0.1
other_loss, other_story = forward(weight, other)
print(other_story)
print(other_loss)

# %% Gradients
# `backward` walks the graph from the loss to the leaves and multiplies the slopes on the way: the chain rule. The
# result lands in `weight.grad`, one slope for each number of `weight`: how much the loss grows when that number
# does. Called again for another loss it would add to what is there, which is why training loops set gradients to
# zero.
loss.backward()
gradient = weight.grad
print(gradient)


# %% Checked by hand
# A slope can be measured without any graph: move one number a little up and a little down, and divide the
# difference of the losses by the distance. This takes two forward passes for each number, so it is no way to
# train, but it is an honest check, because it shares no code with autograd. The step is small against the numbers
# and large against their rounding. A large loss is rounded by more, and so is every difference of two: the
# tolerance grows with the largest slope. Where so small a step makes the loop turn once more or the branch go the
# other way, the loss jumps, and no difference measures a slope: this check says False then, and autograd is right.
def slopes(w: Tensor, step: float = 1e-6) -> Tensor:
    """Measure the gradient by central differences."""
    measured = torch.zeros_like(w)
    for index in range(len(w)):
        move = torch.zeros_like(w)
        move[index] = step
        up, _ = forward(w + move, x)
        down, _ = forward(w - move, x)
        measured[index] = (up - down) / (2 * step)
    return measured


with torch.no_grad():
    differences = slopes(weight)
assert gradient is not None
print(differences)
rounding = 1e-9 * gradient.abs().max().item()
print(torch.allclose(gradient, differences, rtol=1e-4, atol=1e-6 + rounding))

# %% Checked by PyTorch
# `torch.autograd.gradcheck` does the same check, for any function of float64 tensors. It belongs in the tests of
# who writes a backward pass by hand. It allows differences of 1e-5 and of a thousandth of each slope; here, too,
# the rounding comes on top.
fresh = weight.detach().clone().requires_grad_()
print(torch.autograd.gradcheck(lambda w: forward(w, x)[0], (fresh,), atol=1e-5 + rounding, raise_exception=False))
