"""Devices, dtypes and what they are called."""

from pathlib import Path

import pytest
import torch

from training import devices
from training.errors import TrainingError

CPU = torch.device("cpu")


def _cpuinfo(folder: Path, text: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fpu avx2 avx512f", torch.float32),
        ("fpu avx512_bf16", torch.bfloat16),
        ("amx_tile amx_bf16", torch.bfloat16),
    ],
)
def test_bfloat16_is_used_where_the_processor_has_it(tmp_path: Path, flags: str, dtype: torch.dtype) -> None:
    """Emulated bfloat16 is slower than float32; only real instructions count."""
    cpuinfo = _cpuinfo(tmp_path, f"model name\t: Test CPU\nflags\t\t: {flags}\n\nflags : none\n")
    assert devices.fast_dtype(CPU, cpuinfo) is dtype


def test_hardware_is_named_with_its_threads(tmp_path: Path) -> None:
    """The record says which processor, how many threads, and its matrix extensions."""
    cpuinfo = _cpuinfo(tmp_path, "model name\t: Test CPU\nflags : amx_bf16 avx512_bf16\n")
    text = devices.describe_hardware(CPU, cpuinfo)
    assert text == f"Test CPU, {torch.get_num_threads()} threads, amx_bf16 avx512_bf16"


def test_a_machine_without_cpuinfo_still_has_a_name(tmp_path: Path) -> None:
    """Elsewhere than on Linux the platform module answers, and float32 is used."""
    cpuinfo = tmp_path / "absent"
    assert "threads" in devices.describe_hardware(CPU, cpuinfo)
    assert devices.fast_dtype(CPU, cpuinfo) is torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_cuda_where_there_is_none_is_refused() -> None:
    """`auto` falls back to the CPU, `cuda` does not."""
    assert devices.choose_device("auto") == CPU
    with pytest.raises(TrainingError, match=r"no CUDA device here.*--device cpu"):
        devices.choose_device("cuda")


@pytest.mark.parametrize(("name", "is_allowed"), [("cuda", False), ("auto", False), ("cpu", True)])
def test_float32_on_cuda_is_no_tf32(monkeypatch: pytest.MonkeyPatch, name: str, is_allowed: bool) -> None:
    """What is trained and what is measured there is rounded as everywhere else; cuDNN itself stays on.

    PyTorch's exporter and compiler read the flag, which fails where convolutions alone were told.
    """
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    devices.choose_device(name)
    assert torch.backends.cudnn.allow_tf32 is is_allowed
    assert torch.backends.cudnn.benchmark is not is_allowed
    assert torch.backends.cudnn.enabled


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_auto_takes_cuda_where_there_is_one() -> None:
    """And names the accelerator."""
    device = devices.choose_device("auto")
    assert device.type == "cuda"
    assert devices.describe_hardware(device) == torch.cuda.get_device_name()
