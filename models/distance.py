"""How far a picture's features lie from those of all classes: what lets a checkpoint say "none of these".

A score compares the classes with each other, so a picture of none of them may still get a high one. The distance
compares the picture with what the training pictures looked like to the network.
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import NotFiniteError, TensorKeysError, TensorShapeError

_ADVICE = "Restore the original file, or calibrate the checkpoint again."


class ClassDistance(nn.Module):
    """Squared Mahalanobis distance to the nearest class, over its median on held-out pictures.

    Features are brought to length 1 first: pictures that say nothing to the network have short ones, and would
    seem near to everything (docs/experiments.md). The median is part of the tensors, so that 1 is a usual picture
    whatever the network; a median that rounding alone makes counts less (`training/measuring/distance.py`).

    Args:
        center: (features,), mean of the training features of length 1.
        whitening: (features, features), turns the covariance within the classes into the identity.
        means: (classes, features), of each class, centred and whitened.
    Source:
        Lee et al., arXiv 1807.03888: class means and one covariance for all of them.
    """

    center: Tensor
    whitening: Tensor
    means: Tensor

    def __init__(self, center: Tensor, whitening: Tensor, means: Tensor) -> None:
        super().__init__()
        for name, tensor in (("center", center), ("whitening", whitening), ("means", means)):
            self.register_buffer(name, tensor.detach().to(torch.float32).contiguous())

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, classes: int, features: int) -> Self:
        """Make it from a checkpoint's tensors.

        Args:
            tensors: by the names of the constructor's arguments.
            classes: of the network.
            features: of the network.

        Raises:
            TensorKeysError: one is missing, or one too many.
            TensorShapeError: one has another shape or dtype than the network needs.
            NotFiniteError: one holds NaN or infinity.
        """
        shapes = {"center": (features,), "whitening": (features, features), "means": (classes, features)}
        missing, extra = sorted(shapes.keys() - tensors.keys()), sorted(tensors.keys() - shapes.keys())
        if missing or extra:
            raise TensorKeysError(
                f"the abstain rule has a distance threshold, and of the tensors abstain.* are missing "
                f"{missing or 'none'}, too many {extra or 'none'}. {_ADVICE}"
            )
        for name, shape in shapes.items():
            tensor = tensors[name]
            if tensor.dtype != torch.float32 or tensor.shape != shape:
                raise TensorShapeError(
                    f"the tensor abstain.{name} is {tensor.dtype} {list(tensor.shape)}; with {features} features "
                    f"and {classes} labels it must be {torch.float32} {list(shape)}. {_ADVICE}"
                )
            if not torch.isfinite(tensor).all():
                raise NotFiniteError(f"the tensor abstain.{name} holds values that are NaN or infinite. {_ADVICE}")
        return cls(**tensors)

    def forward(self, features: Tensor) -> Tensor:
        """Measure features (batch, features) of a network: (batch, 1), in float32 also under autocast."""
        with torch.autocast(features.device.type, enabled=False):  # squares of float16 would overflow
            whitened = (F.normalize(features.float(), dim=1) - self.center) @ self.whitening  # (batch, features)
            # |w − m|² is least where w·m − |m|²/2 is largest; only the nearest mean is then subtracted, since the
            # difference of two large squares would be rounding alone in bfloat16
            near = whitened @ self.means.T - self.means.square().sum(1) / 2  # (batch, classes)
            return (whitened - self.means[near.argmax(1)]).square().sum(1, keepdim=True)
