"""What all bodies together may hold of the memory."""

import pytest

from app.bodies import Bodies
from app.errors import OverloadedError


def test_bodies_may_not_fill_the_memory_together() -> None:
    """What is held counts until it is let go; the limit itself is still held."""
    bodies = Bodies(max_bytes=100, retry_after_s=lambda: 1)
    bodies.hold(60)
    bodies.hold(40)
    with pytest.raises(OverloadedError, match=r"100 bytes, leave no room for 1 more; the limit is 100"):
        bodies.hold(1)
    assert bodies.held_bytes == 100
    bodies.let_go(40)
    bodies.hold(40)


def test_who_finds_no_memory_is_told_when_there_may_be_some() -> None:
    """It depends on what is in work by then, not on what was at the start."""
    seconds = iter((3, 7))
    bodies = Bodies(max_bytes=100, retry_after_s=lambda: next(seconds))
    for retry_after_s in (3, 7):
        with pytest.raises(OverloadedError, match="leave no room for 101 more") as refused:
            bodies.hold(101)
        assert refused.value.retry_after_s == retry_after_s
