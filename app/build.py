"""Which versions run: of the service, and of what its answers depend on."""

import platform
from importlib.metadata import version

import PIL
import torch


def versions() -> dict[str, str]:
    """Name them: `version` of the service itself, `python`, `torch`, `pillow`."""
    return {
        "version": version("glimpse"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "pillow": PIL.__version__,
    }
