"""The first layer of every network: raw pixels in, normalised channels out."""

import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec


class Normalization(nn.Module):
    """uint8 (batch, height, width, 3) → floating (batch, 3, height, width), channels-last in memory.

    It sits inside the network so that PyTorch, CUDA, OpenVINO and ONNX all run the same preprocessing.
    Its two constants are not in the state dict: they come from the checkpoint's text, once.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scale to 0…1, take the mean off, divide by the deviation.

        Args:
            images: uint8 (batch, height, width, 3); floats in 0…255 pass too (training resizes them).

        Returns:
            (batch, 3, height, width) in the dtype of the module, a channels-last view.
        """
        channels_first = images.permute(0, 3, 1, 2).to(self.mean.dtype)
        return (channels_first / 255 - self.mean) / self.std
