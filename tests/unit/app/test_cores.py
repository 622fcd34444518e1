"""Who gets the cores."""

from hypothesis import given
from hypothesis import strategies as st

from app.cores import share


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
