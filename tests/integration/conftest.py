"""The real application, with its lifespan, over a tiny real checkpoint."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.main import create_app
from app.service import Service
from app.settings import Settings
from tests.conftest import on_one_thread
from tests.trainings import write_bright

ADMIN_KEY = SecretStr("a key of the tests")


@pytest.fixture
def settings(checkpoint_path: Path) -> Settings:
    """Limits small enough to be reached in a test."""
    return Settings(
        checkpoint=checkpoint_path,
        engine="torch",
        device="cpu",
        max_body_bytes=300_000,
        max_batch_bytes=600_000,
        max_pixels=1_000_000,
        admin_key=ADMIN_KEY,
    )


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """`main` sets up the logging of a whole process; the tests after this one have their own."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    handlers, levels = root.handlers[:], (root.level, uvicorn.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    uvicorn.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.fixture(scope="module")
def _one_thread() -> Iterator[None]:
    """For modules that train a network, and measure it, again and again."""
    with on_one_thread():
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three classes of brightness, to train on."""
    return write_bright(tmp_path_factory.mktemp("data") / "bright.npz")


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """Talks to the application as HTTP does."""
    with TestClient(create_app(settings)) as client:
        yield client


def service_behind(client: TestClient) -> Service:
    """The service that answers a client."""
    service: Service = cast(FastAPI, client.app).state.service
    return service
