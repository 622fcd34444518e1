"""Devices

The same matrix product on the CPU and, where there is one, on a CUDA device: which is faster depends on the size.
"""

# %% Setup
# These are the values that you can change. Each size is twice the one before, so each product is eight times the
# work. The times of this run are in the tensors and not in the printed text, because they are other ones every
# time. `use_cuda` is found out: where the operator of a service has chosen the CPU it is False, even if there is a
# GPU.
import time

import torch

largest = 512
repeats = 3
dtype = torch.float32
seed = 0
use_cuda = torch.cuda.is_available()
sizes = torch.tensor([size for size in (32, 64, 128, 256, 512, 1024) if size <= largest])
print(sizes)

# %% The work
# A product of two n × n matrices has n² elements, each a sum of n products: n multiplications and n additions, so
# 2n³ operations in all. It reads only 2n² numbers, and that is why large products are what fast devices are good
# at.
operations = 2 * sizes**3
print(operations)


# %% How to take the time
# A call for a CUDA device only puts the work into a queue and returns. Without `synchronize` one would time the
# queue and not the work, and every GPU would look much too fast. The first product is not timed: it pays for
# starting the library. Of the others the shortest counts, since whatever else runs here can only make it longer.
def milliseconds(device: str, size: int) -> float:
    """Time the product of two random size × size matrices."""
    generator = torch.Generator(device).manual_seed(seed)
    left = torch.rand(size, size, generator=generator, dtype=dtype, device=device)
    right = torch.rand(size, size, generator=generator, dtype=dtype, device=device)
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        torch.mm(left, right)
        if device == "cuda":
            torch.cuda.current_stream().synchronize()
        times.append((time.perf_counter() - started) * 1000)
    return min(times[1:])


# %% On the CPU
# One time for each size, in milliseconds. In the service the lab has one core, since the others answer pictures;
# a Python of your own takes all of them. Small products cost mostly the way through Python and PyTorch; from some
# size on the arithmetic counts, and each doubling takes about eight times as long.
cpu_ms = torch.tensor([milliseconds("cpu", size) for size in sizes.tolist()])
print(cpu_ms.shape)

# %% On CUDA
# The same function with another device; only the string differs. Where no CUDA device is used nothing is timed
# and nothing is made up: all times are NaN, "not a number".
if use_cuda:
    cuda_ms = torch.tensor([milliseconds("cuda", size) for size in sizes.tolist()])
    print("A CUDA device was timed.")
else:
    cuda_ms = torch.full_like(cpu_ms, float("nan"))
    print("No CUDA device is used here, so there is nothing to compare with.")

# %% The crossover
# A GPU has thousands of small cores, but each call has to reach it first. Below some size that way costs more than
# the arithmetic, and the CPU wins; above it the cores win. `crossover` holds the first size at which CUDA was
# faster; it is empty where that never happened, and without CUDA it always is, because a comparison with NaN is
# false.
faster_on_cuda = cuda_ms < cpu_ms
crossover = sizes[faster_on_cuda][:1]
print(faster_on_cuda.shape, "one answer for each size")

# %% Equal, but not to the bit
# Floating point sums depend on their order, and each device has an order of its own. So results of two devices are
# compared with a tolerance, never with `==`. Without CUDA the CPU is compared with itself.
generator = torch.Generator().manual_seed(seed)
matrix = torch.rand(64, 64, generator=generator, dtype=dtype)
here = matrix @ matrix
elsewhere = matrix.to("cuda" if use_cuda else "cpu")
there = (elsewhere @ elsewhere).cpu()
print(torch.allclose(here, there, rtol=1e-3))
