"""PyTorch itself, on a CPU in float32 or on CUDA in half precision."""

import torch
from torch import nn

from models import golden
from models.errors import GlimpseError
from models.preprocessing import Images


class DeviceError(GlimpseError):
    """The device that was asked for is not there."""


class TorchEngine:
    """Runs a network eagerly.

    On a CPU it computes in float32, so that the service answers to the bit what `training evaluate`
    answers; for one picture at a time bfloat16 would save only 17 % (docs/architecture.md).

    Args:
        network: in evaluation mode.
        device: "auto", "cpu" or "cuda".
    """

    name = "torch"

    def __init__(self, network: nn.Module, *, device: str) -> None:
        has_cuda = torch.cuda.is_available()
        if device == "cuda" and not has_cuda:
            raise DeviceError(
                "GLIMPSE_DEVICE is cuda, and there is no CUDA device here. Use GLIMPSE_DEVICE=cpu, check the "
                "driver with nvidia-smi, or start the container with --gpus all."
            )
        on_cuda = device == "cuda" or (device == "auto" and has_cuda)
        self._device = torch.device("cuda" if on_cuda else "cpu")
        self._dtype = torch.float16 if on_cuda else torch.float32
        self._network = network.to(self._device)
        self.device = torch.cuda.get_device_name() if on_cuda else "cpu"
        self.dtype = str(self._dtype).removeprefix("torch.")
        self.tolerance = golden.TOLERANCE[self._dtype]

    def probabilities(self, images: Images) -> golden.Probabilities:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes)."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            return golden.answer(self._network, images)
