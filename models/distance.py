"""How far a picture's features lie from those of all classes: what lets a checkpoint say "none of these".

A score compares the classes with each other, so a picture of none of them may still get a high one. The distance
compares the picture with what the training pictures looked like to the network.
"""

from collections.abc import Callable, Mapping
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import NotFiniteError, TensorKeysError, TensorShapeError

Features = npt.NDArray[np.float32]
"""float32 (batch, features), or (batch, 1) for their distances."""
_SHORTEST = 1e-12
"""As `torch.nn.functional.normalize` has it."""
_ADVICE = "Restore the original file, or calibrate the checkpoint again."


class ClassDistance(nn.Module):
    """Squared Mahalanobis distance to the nearest class, over its median on held-out pictures.

    Features are brought to length 1 first: pictures that say nothing to the network have short ones, and would
    seem near to everything (docs/experiments.md). The median is part of the tensors, so that 1 is a usual picture
    whatever the network.

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
        """Measure features (batch, features) of a network: (batch, 1), in float32 also under autocast.

        Classes that are told apart well lie hundreds of units from each other, so that a distance of 1 is the
        difference of large numbers: in half precision nothing of it would be left.
        """
        with torch.autocast(features.device.type, enabled=False):
            whitened = (F.normalize(features.float(), dim=1) - self.center) @ self.whitening  # (batch, features)
            # |w − m|² as |w|² − 2 (w·m − |m|²/2): no (batch, classes, features) in memory
            near = whitened @ self.means.T - self.means.square().sum(1) / 2  # (batch, classes)
            return whitened.square().sum(1, keepdim=True) - 2 * near.amax(1, keepdim=True)

    def in_numpy(self) -> Callable[[Features], Features]:
        """The same for engines that are not PyTorch: float32 (batch, features) → (batch, 1)."""
        center, whitening, means = (tensor.cpu().numpy() for tensor in (self.center, self.whitening, self.means))
        halves = np.square(means).sum(1) / 2

        def measure(features: Features) -> Features:
            lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _SHORTEST)
            whitened = (features / lengths - center) @ whitening
            near = whitened @ means.T - halves
            distance: Features = np.square(whitened).sum(1, keepdims=True) - 2 * near.max(1, keepdims=True)
            return distance

        return measure


class FeatureGraph(nn.Module):
    """For an engine that measures distances itself: logits (batch, classes) and features (batch, features)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Answer uint8 images (batch, height, width, 3)."""
        features = self.network.features(images)  # type: ignore[operator]
        return self.network.logits(features), features  # type: ignore[operator]


class Graph(nn.Module):
    """What an engine runs: the network, and with its features the distance where a checkpoint has one.

    Args:
        network: uint8 (batch, height, width, 3) → logits, by way of `features`.
        distance: None where there is none.
    """

    def __init__(self, network: nn.Module, distance: ClassDistance | None) -> None:
        super().__init__()
        self.network = network
        self.distance = distance

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer images: logits (batch, classes), and then the distance (batch, 1) if there is one.

        Args:
            images: uint8 (batch, height, width, 3).
        """
        if self.distance is None:
            return (self.network(images),)
        features = self.network.features(images)  # type: ignore[operator]
        return self.network.logits(features), self.distance(features)  # type: ignore[operator]
