"""Creating tensors

Ways to make a tensor: memory that nobody has filled, random numbers, constants, a range, and your own data.
"""

# %% Setup
# These are the values that you can change. The random numbers come from a generator of this script: a call of
# `torch.manual_seed` would change the random numbers of everything else in the process, too. The same seed gives
# the same numbers on the same device, so a result can be repeated.
import torch

rows = 5
columns = 3
dtype = torch.float32
seed = 0
device = "cpu"
generator = torch.Generator(device).manual_seed(seed)

# %% Uninitialised memory [withheld: x]
# `torch.empty` reserves memory and writes nothing into it. Whatever was there before shows up as numbers, so its
# values mean nothing: they may look like zeros today and like anything tomorrow. It is faster than filling, and
# right where every element is written before it is read. The numbers are not shown here, because that memory may
# hold what another request of this server left behind.
x = torch.empty(rows, columns, dtype=dtype, device=device)
print(x.shape, x.dtype, x.device)

# %% Random numbers between 0 and 1
# `torch.rand` draws from the uniform distribution: every number from 0 up to, but not including, 1 is as likely as
# any other. Handing in the generator is what makes the draw repeatable.
uniform = torch.rand(rows, columns, generator=generator, dtype=dtype, device=device)
print(uniform)

# %% Random numbers around 0
# `torch.randn` draws from the normal distribution with mean 0 and standard deviation 1: about two thirds of the
# numbers lie between -1 and 1. Networks like to start from such numbers, because positive and negative ones keep
# the balance. It goes on where the generator stands, so these are other numbers than a first draw would give.
normal = torch.randn(rows, columns, generator=generator, dtype=dtype, device=device)
print(normal)

# %% Zeros
# `torch.zeros` fills the memory, which `torch.empty` does not. The dtype says how each element is stored, and with
# it how much memory the tensor takes: here the size of one element in bytes, times their number.
zeros = torch.zeros(rows, columns, dtype=dtype, device=device)
print(zeros)
print(zeros.element_size(), "bytes ×", zeros.numel(), "elements")

# %% Ones
# `torch.ones` is the same with 1, and `torch.full` with any number. Its `_like` sisters take shape, dtype and
# device from another tensor, so that code works for whatever it is handed.
ones = torch.ones(rows, columns, dtype=dtype, device=device)
sevens = torch.full_like(ones, 7)
print(ones)
print(sevens)

# %% A range
# `torch.arange` counts from 0 up to, but not including, its end, as Python's `range` does. It makes one long row,
# and `view` gives it rows and columns without moving a single number: both tensors share one memory.
counted = torch.arange(rows * columns, dtype=dtype, device=device)
table = counted.view(rows, columns)
print(table)

# %% From your own data
# `torch.tensor` copies data that you have. Without a dtype it looks at the data: one number with a decimal point
# makes all of them float32, as 3 becomes 3.0 here, and whole numbers alone become int64. That difference is a
# common surprise, since a network wants floating point numbers.
data = torch.tensor([5.5, 3])
whole = torch.tensor([5, 3])
print(data, data.dtype)
print(whole, whole.dtype)

# %% How large is it?
# The size is a `torch.Size`, which is a tuple: it can be unpacked, compared and handed to the next call. Asking
# for it costs nothing, because it is written beside the data and is not computed from it.
height, width = data.new_ones(rows, columns).size()
print(height, width, uniform.size() == (rows, columns))
