"""Which GPU each of several processes computes on: left alone, all of them would take the first.

Workers import it first, so it imports nothing heavy.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def names_of(count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Name the GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them.

    Args:
        count: how many CUDA has found.
        environment: with that variable where the operator has chosen some; CUDA counts to the first unknown one.
    """
    chosen = environment.get(_VISIBLE)
    if chosen is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in chosen.split(",")][:count]


@contextlib.contextmanager
def shown_to_children(gpus: Sequence[str], slot: int) -> Iterator[None]:
    """Let a process that is started meanwhile see one GPU alone; with one for all it sees what this one sees.

    Args:
        gpus: that there are, as `names_of` names them.
        slot: place of that process among the others, from 0; they take the GPUs by turns.
    """
    if len(gpus) < 2:
        yield
        return
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = gpus[slot % len(gpus)]
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before
