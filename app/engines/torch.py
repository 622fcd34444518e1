"""PyTorch itself, on a CPU in float32 or on CUDA in half precision."""

import torch
from torch import nn

from models import golden
from models.classifier import run
from models.errors import GlimpseError
from models.preprocessing import Images, Probabilities


class DeviceError(GlimpseError):
    """The device that was asked for is not there."""


class TorchEngine:
    """Runs a network eagerly.

    On a CPU it computes in float32, so that the service answers to the bit what `training evaluate`
    answers; docs/architecture.md says what bfloat16 would save. On CUDA scores differ in the third digit.

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
        try:
            self._network = network.to(self._device)
        except RuntimeError as error:  # no memory left, or a driver that does not fit
            raise DeviceError(
                f"The network cannot be moved to {self._device} ({error}). Free it, or use GLIMPSE_DEVICE=cpu."
            ) from error
        self.device = torch.cuda.get_device_name() if on_cuda else "cpu"
        self.dtype = str(self._dtype).removeprefix("torch.")
        self.tolerance = golden.TOLERANCE[self._dtype]

    def probabilities(self, images: Images) -> Probabilities:
        """Classify uint8 (n, height, width, 3) into float32 (n, classes)."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            return run(self._network, images)
