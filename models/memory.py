"""Which failures are for want of memory: PyTorch has a class of its own for some of them alone."""

import torch

_PROCESSORS = "DefaultCPUAllocator"
"""What PyTorch names when the processor's memory is full, in a RuntimeError like any other."""
_DEVICES = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
"""In a RuntimeError about memory that CUDA or one of its libraries wants, past PyTorch's allocator."""


def lacks_memory(error: BaseException) -> bool:
    """Whether the processor's memory was full."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _PROCESSORS in str(error))


def lacks_device_memory(error: BaseException) -> bool:
    """Whether the memory of an accelerator was full, be it that another failure followed from it."""
    met: BaseException | None = error
    while met is not None:
        if isinstance(met, torch.OutOfMemoryError):
            return True
        if isinstance(met, RuntimeError) and any(words in str(met) for words in _DEVICES):
            return True
        met = met.__context__
    return False
