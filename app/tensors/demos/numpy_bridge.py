"""The NumPy bridge

A tensor on the CPU and a NumPy array can share one memory. Changing one then changes the other, in both
directions.
"""

# %% Setup
# These are the values that you can change. NumPy knows no device but the CPU, and not every dtype of PyTorch:
# there is no bfloat16 in it.
import numpy as np
import torch

rows = 5
dtype = torch.float32
device = "cpu"

# %% From tensor to array
# `numpy` makes an array that looks at the memory of the tensor. Nothing is copied, so this takes the same time for
# five numbers and for five million.
a = torch.ones(rows, dtype=dtype)
b = a.numpy()
print(a)
print(b)

# %% The tensor changes, and the array with it
# `add_` adds 1 in place, in the memory of `a`. `b` looks at the same memory, so it shows the new numbers, although
# nobody touched `b`.
a.add_(1)
print(a)
print(b)

# %% From array to tensor
# `torch.from_numpy` is the bridge in the other direction: a tensor that looks at the memory of the array, and
# takes its dtype. NumPy makes float64 unless it is told otherwise, PyTorch float32, so the dtype is worth a look.
c = np.ones(rows, dtype=b.dtype)
d = torch.from_numpy(c)
print(c)
print(d)

# %% The array changes, and the tensor with it
# `out=c` makes NumPy write the sum into the memory of `c`. Without it, `c = c + 1` would make a new array, and `d`
# would go on looking at the old one.
np.add(c, 1, out=c)
print(c)
print(d)

# %% The copy that does not share
# `torch.tensor` always copies, and so does `clone`. The array changes once more; `d` follows and the copies do
# not. Copy when two parts of a program must not surprise each other.
e = torch.tensor(c)
f = d.clone()
np.add(c, 1, out=c)
print(c)
print(d)
print(e)
print(f)

# %% A CUDA tensor must come home first
# NumPy reads the memory of the CPU and nothing else; it cannot follow a pointer into the memory of a GPU. So
# PyTorch refuses `numpy` for a CUDA tensor, and `cpu` must copy it home first. That array is a copy: a change on
# the GPU does not reach it. On the CPU there is nothing to bring home, and the array shares.
g = torch.ones(rows, dtype=dtype, device=device)
try:
    h = g.numpy()
    print("It is at home already.")
except TypeError as error:
    print(error)
    h = g.cpu().numpy()
g.add_(1)
print(g)
print(h)
