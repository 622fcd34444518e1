"""What to compute on, in which dtype, and what to call it in the record."""

import ctypes
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from training.errors import TrainingError

_CPUINFO = Path("/proc/cpuinfo")
_MATRIX_EXTENSIONS = ("amx_bf16", "avx512_bf16")
"""With which a processor multiplies matrices faster in bfloat16, as Linux names them."""
_MALLOC_TRIM_THRESHOLD, _MALLOC_MMAP_MAX = -1, -4  # <malloc.h>


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; `auto` takes CUDA where there is one.

    From then on float32 means float32 on CUDA too: PyTorch convolves in TF32 there, which keeps 10 bits of 23. And
    cuDNN tries its kernels once for each shape, and takes the fastest: a step of `accurate` took 10.1 instead of
    12.9 ms on an H100 (docs/benchmarks.md, GPU).

    Raises:
        TrainingError: CUDA was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise TrainingError(
            "There is no CUDA device here (torch.cuda.is_available() is False). "
            "Use --device cpu, or check the driver with nvidia-smi."
        )
    if not has_cuda or name == "cpu":
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda")


@dataclass(frozen=True)
class Computing:
    """On what, and how; decided once, at the top.

    Attributes:
        device: of weights and pictures.
        dtype: of forward passes; weights stay float32.
        is_compiled: whether torch.compile makes kernels for the network first.
    """

    device: torch.device
    dtype: torch.dtype
    is_compiled: bool = False

    def autocast(self) -> torch.autocast:
        """Compute in the dtype inside the block; float32 changes nothing."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def compiled(self, network: nn.Module) -> nn.Module:
        """Give what to call instead of a network."""
        return cast(nn.Module, torch.compile(network, dynamic=False)) if self.is_compiled else network


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Turn `auto`, `float32` or `bfloat16` into a dtype; `auto` takes what is fast on the device."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(name) or fast_dtype(device)


def fast_dtype(device: torch.device, cpuinfo: Path = _CPUINFO) -> torch.dtype:
    """Return bfloat16 where the device multiplies matrices faster in it, else float32.

    Args:
        device: to compute on.
        cpuinfo: what Linux says of the processor; a file that is missing names no extensions.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    is_fast = not set(_MATRIX_EXTENSIONS).isdisjoint(_cpu_field("flags", cpuinfo).split())
    return torch.bfloat16 if is_fast else torch.float32


def describe_hardware(device: torch.device, cpuinfo: Path = _CPUINFO) -> str:
    """Name the accelerator, or the processor with its threads and matrix extensions.

    Args:
        device: to compute on.
        cpuinfo: what Linux says of the processor; where it is missing, Python's `platform` names it.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    extensions = [flag for flag in _MATRIX_EXTENSIONS if flag in _cpu_field("flags", cpuinfo).split()]
    model = _cpu_field("model name", cpuinfo) or platform.processor() or platform.machine()
    return f"{model}, {torch.get_num_threads()} threads" + (f", {' '.join(extensions)}" if extensions else "")


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next step instead of giving it back to the system.

    Activations of tens of megabytes are otherwise mapped and zeroed anew in each step: batches of 2,000 ran
    at 351 pictures/s without and 511 with it (docs/experiments.md, 2026-11-23).
    Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MALLOC_MMAP_MAX, 0)
    libc.mallopt(_MALLOC_TRIM_THRESHOLD, 2**31 - 1)


def _cpu_field(name: str, cpuinfo: Path) -> str:
    """First value of a field of /proc/cpuinfo, empty where there is none."""
    if not cpuinfo.exists():
        return ""
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
