"""Unit tests run on one thread."""

from collections.abc import Iterator

import pytest

from tests.conftest import on_one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with on_one_thread():
        yield
