"""The real application, with its lifespan, over a tiny real checkpoint."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings


@pytest.fixture
def settings(checkpoint_path: Path) -> Settings:
    """Limits small enough to be reached in a test."""
    return Settings(checkpoint=checkpoint_path, device="cpu", max_body_bytes=300_000, max_pixels=1_000_000)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Talks to the application as HTTP does."""
    with TestClient(create_app(settings)) as client:
        yield client
