"""How many cores there are, and who gets them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cores import share, usable_cores


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process may run on four cores of a large machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 8, 9}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        pytest.param("max 100000\n", 4, id="no limit"),
        pytest.param("200000 100000\n", 2, id="two cores"),
        pytest.param("150000 100000\n", 2, id="one and a half"),
        pytest.param("100000 100000\n", 1, id="one"),
        pytest.param("5000 100000\n", 1, id="a twentieth"),
        pytest.param("25000 50000\n", 1, id="another period"),
        pytest.param("6400000 100000\n", 4, id="more than the affinity"),
        pytest.param("", 4, id="an empty file"),
        pytest.param("100000\n", 4, id="no period"),
    ],
)
def test_a_containers_quota_limits_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    """Rounded up, at least one, and never more than the affinity."""
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    """Not the cores of the machine: `taskset` and Kubernetes' static policy give fewer."""
    assert usable_cores(tmp_path / "cpu.max") == 4


def test_where_there_is_no_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS; and where even that is unknown, there is one."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores(tmp_path / "cpu.max") == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path / "cpu.max") == 1


@given(cores=st.integers(1, 512), workers=st.integers(1, 64))
def test_workers_share_the_cores(cores: int, workers: int) -> None:
    """Each has a thread for each part; together they have no more than the cores, where there is one for each."""
    for threads in share(cores, workers=workers):
        assert 1 <= threads <= cores
        assert threads * workers <= max(cores, workers)


def test_one_core_of_each_worker_is_left_to_its_event_loop() -> None:
    """Seven cores for one worker, three each for two; a single core is shared."""
    assert share(7, workers=1) == (6, 7)
    assert share(7, workers=2) == (2, 3)
    assert share(1, workers=1) == (1, 1)
