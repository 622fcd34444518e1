"""Failures for want of memory are told from each other, and from all others."""

import pytest
import torch

from models.memory import lacks_device_memory, lacks_memory


def _fill_the_processors() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def test_memory_that_the_processor_lacks() -> None:
    """PyTorch raises a plain RuntimeError for it, Python a MemoryError."""
    with pytest.raises(RuntimeError) as found:
        _fill_the_processors()
    for error in (found.value, MemoryError()):
        assert lacks_memory(error)
        assert not lacks_device_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported elsewhere"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA driver error: out of memory"),
    ],
    ids=str,
)
def test_memory_that_a_device_lacks(error: RuntimeError) -> None:
    """In the words of PyTorch's allocator, of CUDA, and of its libraries."""
    assert lacks_device_memory(error)
    assert not lacks_memory(error)


def test_a_failure_that_follows_from_it() -> None:
    """A recording that ends for want of memory cannot be ended in order, and that is what is raised."""
    error = RuntimeError("operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert lacks_device_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError("out of memory")]
)
def test_other_failures_are_other_failures(error: Exception) -> None:
    """A lost device is not helped by asking for less."""
    assert not lacks_memory(error)
    assert not lacks_device_memory(error)
