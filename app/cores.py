"""How the threads of a process share its cores."""

from typing import NamedTuple


class Threads(NamedTuple):
    """How many threads each part of one process gets."""

    engine: int
    decode: int


def share(cores: int, *, workers: int) -> Threads:
    """Split the cores among the workers.

    One core of each worker is left to its event loop, which is busy whenever the engine is. Decoding threads may
    use all of them: what they decode is what the engine waits for.

    Source: docs/benchmarks.md; on 2 cores one engine thread answered 850 small pictures a second, two 660.
    """
    each = max(1, cores // workers)
    return Threads(engine=max(1, each - 1), decode=each)
