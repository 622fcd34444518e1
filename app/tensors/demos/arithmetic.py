"""Arithmetic

Adding in all its syntaxes, shapes that stretch to fit each other, the matrix product, and what PyTorch says when
shapes do not fit.
"""

# %% Setup
# These are the values that you can change. `x` and `y` have the same shape, so they can be added element by
# element.
import torch

rows = 5
columns = 3
dtype = torch.float32
seed = 0
device = "cpu"
generator = torch.Generator(device).manual_seed(seed)
x = torch.rand(rows, columns, generator=generator, dtype=dtype, device=device)
y = torch.rand(rows, columns, generator=generator, dtype=dtype, device=device)
print(x)
print(y)

# %% The operator
# `+` adds each element of `x` to the one at the same place of `y`. The result is a new tensor with a memory of its
# own; `x` and `y` stay as they are.
added = x + y
print(added)

# %% The function
# `torch.add` is what the operator calls. As a function it can take more: `alpha` multiplies the second tensor on
# the way, without a tensor in between for the product.
by_function = torch.add(x, y)
scaled = torch.add(x, y, alpha=10)
print(by_function)
print(scaled)

# %% Into memory that is there already
# With `out=` the sum is written into a tensor that you bring, and no new memory is reserved. That pays in a loop
# that runs a million times. `torch.empty` is right for it: every element is written before anybody reads it.
result = torch.empty(rows, columns, dtype=dtype, device=device)
torch.add(x, y, out=result)
print(result)

# %% In place
# A method whose name ends with an underscore changes the tensor itself: `add_`, `copy_`, `zero_`, `t_`. It saves
# memory, but everybody who holds the same tensor sees the change, and autograd refuses it where the old values are
# still needed. `total` is a clone here, because `y` is needed below.
total = y.clone()
total.add_(x)
print(total)

# %% All of them agree
# Four syntaxes, one operation: the results are equal to the last bit, and each lies in a memory of its own. So
# choose by what should happen to the memory, and not by the numbers.
print(torch.equal(added, by_function), torch.equal(added, result), torch.equal(added, total))

# %% Broadcasting
# Shapes are compared from the right. Two sizes fit if they are equal or one of them is 1, and a missing one counts
# as 1; a size of 1 is then repeated without copying anything. So a row is added to every row, and a column to
# every column. This is how a bias meets a whole batch.
row = torch.arange(columns, dtype=dtype, device=device)
column = torch.arange(rows, dtype=dtype, device=device).view(rows, 1)
grid = row + column
print(row.shape, "and", column.shape, "give", grid.shape)
print(grid)

# %% Broadcasting copies nothing
# `expand` is what broadcasting does inside. The expanded tensor shares its memory with the row. Where there is
# more than one row, its first stride is 0: going to the next row moves by no element at all, so every row is the
# same row.
expanded = row.expand(rows, columns)
print(expanded.stride())

# %% The matrix product
# `@` multiplies matrices, while `*` multiplies element by element. Each element of the product is a row of the
# left times a column of the right, so the inner sizes must be equal; they vanish, and the outer ones remain. `y.T`
# is `y` with rows and columns swapped.
product = x @ y.T
print(x.shape, "@", y.T.shape, "gives", product.shape)
print(product)

# %% Shapes that cannot be added
# This is PyTorch's own error. Compared from the right, the two sizes of the last axis differ and neither is 1, so
# no rule says which element belongs to which. The message names both sizes and the axis, counted from 0: make the
# sizes equal, or one of them 1.
left = torch.ones(rows, columns + 1, device=device)
right = torch.ones(columns + 2, device=device)
try:
    print(left + right)
except RuntimeError as error:
    print(error)

# %% Shapes that cannot be multiplied
# In a matrix product the columns of the left must be as many as the rows of the right, since they are multiplied
# in pairs. The message prints both shapes, and the two inner numbers are the ones to look at.
tall = torch.ones(columns + 2, 1, device=device)
try:
    print(left @ tall)
except RuntimeError as error:
    print(error)
