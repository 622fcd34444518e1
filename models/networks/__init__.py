"""The networks, one family per file, and the table that finds them by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.errors import ArchitectureError
from models.networks.fast import FastNetwork
from models.networks.network import Network
from models.networks.residual import ResidualNetwork
from models.networks.tutorial import TutorialNetwork
from models.preprocessing import InputSpec

_NETWORKS: dict[str, Callable[..., Network]] = {
    "tutorial": TutorialNetwork,
    "fast": FastNetwork,
    "residual": ResidualNetwork,
}

ARCHITECTURES = tuple(_NETWORKS)


@dataclass(frozen=True)
class Architecture:
    """A network's name in the table and what its constructor takes beyond classes and input.

    Attributes:
        name: one of `ARCHITECTURES`.
        arguments: keyword arguments, JSON values only.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def build(architecture: Architecture, *, classes: int, spec: InputSpec, temperature: float = 1.0) -> Network:
    """Build a network with fresh weights: uint8 (batch, height, width, 3) → logits (batch, classes).

    Args:
        architecture: which one, and its arguments.
        classes: number of classes, 1 or more.
        spec: size, mean and deviation of the images.
        temperature: the logits are divided by it.

    Raises:
        ArchitectureError: the name is unknown, or the arguments do not fit.
    """
    constructor = _NETWORKS.get(architecture.name)
    if constructor is None:
        raise ArchitectureError(
            f"The network {architecture.name!r} is not known here; known: {', '.join(ARCHITECTURES)}. "
            "Upgrade Glimpse, or train the checkpoint again with this one."
        )
    try:
        return constructor(classes=classes, spec=spec, temperature=temperature, **architecture.arguments)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: torch refuses a size
        raise ArchitectureError(
            f"The network {architecture.name!r} cannot be built for {classes} classes, "
            f"{spec.width} × {spec.height} pixels and arguments {dict(architecture.arguments)}: {error}. "
            "Use a size and arguments that fit it, or train the checkpoint again."
        ) from error
