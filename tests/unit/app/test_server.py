"""What the start decides before it serves; starts themselves are in tests/e2e."""

import pytest
import torch

from app.server import settings_to_check
from app.settings import Settings


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    ("device", "engine", "goes_to_cuda"),
    [
        ("auto", "auto", True),
        ("auto", "torch", True),
        ("cuda", "torch", True),
        ("cuda", "openvino", False),
        ("auto", "openvino", False),
        ("cpu", "auto", False),
    ],
)
def test_the_parent_of_workers_opens_no_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, engine: str, goes_to_cuda: bool, is_there: bool
) -> None:
    """It checks on the CPU what they will run on CUDA; what they would refuse it refuses."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    settings = Settings.model_validate({"device": device, "engine": engine})
    checked = settings_to_check(settings)
    expected = ("cpu", "torch") if goes_to_cuda and is_there else (device, engine)
    assert (checked.device, checked.engine) == expected
    assert checked.checkpoint == settings.checkpoint
