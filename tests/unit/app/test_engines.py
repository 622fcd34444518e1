"""The torch engine against the network that it runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.engines import open_engine
from app.engines.torch import DeviceError, TorchEngine
from models.checkpoint import load
from models.classifier import run


def test_on_a_cpu_it_answers_to_the_bit_what_the_network_answers(checkpoint_path: Path) -> None:
    """float32, no rounding of its own: what `training evaluate` measures is what is served."""
    loaded = load(checkpoint_path)
    engine = open_engine(loaded, engine="auto", device="cpu")
    assert (engine.name, engine.device, engine.dtype) == ("torch", "cpu", "float32")
    answers = engine.probabilities(loaded.golden_images)
    assert np.array_equal(answers, run(loaded.network, loaded.golden_images))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here; the refusal cannot be seen")
def test_a_missing_device_is_a_sentence(checkpoint_path: Path) -> None:
    """Asked for CUDA where there is none, it says so and what to do."""
    with pytest.raises(DeviceError, match="there is no CUDA device here"):
        TorchEngine(load(checkpoint_path).network, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_it_answers_within_its_tolerance(checkpoint_path: Path) -> None:
    """Half precision on the GPU gives the golden answers."""
    loaded = load(checkpoint_path)
    engine = open_engine(loaded, engine="torch", device="cuda")
    assert engine.dtype == "float16"
    difference = np.abs(engine.probabilities(loaded.golden_images) - loaded.golden_probabilities)
    assert difference.max() <= engine.tolerance
