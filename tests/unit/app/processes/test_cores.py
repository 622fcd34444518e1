"""Who gets the cores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.processes.cores import EVENT_LOOP_S, choose_workers, share


@given(cores=st.integers(1, 512), workers=st.integers(1, 64))
def test_workers_share_the_cores(cores: int, workers: int) -> None:
    """Each has a thread for each part; together they have no more than the cores, where there is one for each."""
    for threads in share(cores, workers=workers):
        assert 1 <= threads <= cores
        assert threads * workers <= max(cores, workers)


def test_one_core_of_each_worker_is_left_to_its_event_loop() -> None:
    """Seven cores for one worker, three each for two; a single core is shared."""
    assert share(7, workers=1) == (7, 6, 7)
    assert share(7, workers=2) == (3, 2, 3)
    assert share(1, workers=1) == (1, 1, 1)


@pytest.mark.parametrize(
    ("cores", "picture_ms", "workers"),
    [
        (2, 0.13, 2),
        (2, 0.19, 2),
        (2, 0.21, 1),
        (2, 0.69, 1),
        (1, 0.01, 1),
        (4, 0.69, 1),
        (8, 0.69, 2),
        (64, 0.1, 4),
    ],
)
def test_a_quick_network_gets_more_event_loops(cores: int, picture_ms: float, workers: int) -> None:
    """Of two cores both where it takes less than the event loop, else one; never more than four."""
    assert EVENT_LOOP_S == 0.0002
    assert choose_workers(cores, picture_s=picture_ms / 1000) == workers


@given(cores=st.integers(1, 512), picture_s=st.floats(0, 100))
def test_there_are_never_more_processes_than_cores(cores: int, picture_s: float) -> None:
    """And always one."""
    assert 1 <= choose_workers(cores, picture_s=picture_s) <= cores
