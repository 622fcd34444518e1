"""Reshaping

The same numbers in another shape: when PyTorch only looks at them differently, and when it has to copy.
"""

# %% Setup
# These are the values that you can change. The numbers count up, so that you can see where each of them goes.
import torch

rows = 4
columns = 4
dtype = torch.int64
device = "cpu"
x = torch.arange(rows * columns, dtype=dtype, device=device).view(rows, columns)
print(x)

# %% One long row
# `view` makes a new tensor that looks at the same memory: no number is moved, which is why it costs nothing
# however large the tensor is. The number of elements must stay the same.
flat = x.view(rows * columns)
print(flat.shape)
print(flat)

# %% A size that PyTorch infers
# One size may be -1: it is what remains when the number of elements is divided by the other sizes. Twice as many
# columns leave half as many rows. Only one -1 is possible, because two unknown sizes have no single answer.
wide = x.view(-1, 2 * columns)
print(wide.shape)
print(wide)

# %% Three names, one memory
# All of them share one memory, so a change through one name is seen through all others. That is cheap and useful,
# and a trap for who expects a copy; `clone` makes one.
copied = x.clone()
flat[0] = 99
print(x[0, 0].item(), wide[0, 0].item(), copied[0, 0].item())

# %% Strides
# A tensor is a flat memory and a rule for walking through it. The stride of an axis says how many elements to move
# for one step along that axis: to the next column it is 1, to the next row a whole row. A view changes the rule
# and leaves the memory alone.
print(x.stride(), wide.stride())

# %% Transpose
# A transposed matrix shares the memory, too: only the two strides have changed places. Read row by row it now
# jumps through the memory, so PyTorch calls it not contiguous.
turned = x.t()
print(turned)
print(turned.stride(), turned.is_contiguous())

# %% Where view fails
# This is PyTorch's own error. In one long row the elements would have to follow each other by one fixed stride,
# but in the order of the transposed matrix they jump. No rule of strides describes that, and `view` never copies.
try:
    print(turned.view(-1))
except RuntimeError as error:
    print(error)

# %% Where reshape copies
# `reshape` gives a view where one is possible, and a copy where it is not. So of these two, one shares its memory
# with `x` and the other does not, and a change of `x` reaches only the first. Use `view` where a silent copy would
# be a mistake.
same = x.reshape(-1)
fresh = turned.reshape(-1)
x[0, 0] = 0
print(same[0].item(), fresh[0].item())
print(same.untyped_storage().data_ptr() == x.untyped_storage().data_ptr())
print(fresh.untyped_storage().data_ptr() == x.untyped_storage().data_ptr())

# %% Contiguous again
# `contiguous` copies the numbers into the order in which they are read, and after that `view` works. A tensor that
# is in order already is returned as it is, without a copy.
ordered = turned.contiguous()
line = ordered.view(-1)
print(ordered.stride())
print(line)
