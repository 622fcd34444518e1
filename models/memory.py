"""Which failures are for want of memory: PyTorch has a class of its own for some of them alone."""

import torch

_PROCESSORS = "DefaultCPUAllocator"
"""What PyTorch names when the processor's memory is full, in a RuntimeError like any other."""
_DEVICES = ("CUDA error: out of memory", "_ALLOC_FAILED")
"""In a RuntimeError about memory that CUDA or one of its libraries wants, past PyTorch's allocator."""


def lacks_memory(error: BaseException) -> bool:
    """Whether the processor's memory was full."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _PROCESSORS in str(error))


def lacks_device_memory(error: BaseException) -> bool:
    """Whether the memory of an accelerator was full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _DEVICES)
