"""How the threads of a process share its cores, and how many processes do."""

import math
from typing import NamedTuple

EVENT_LOOP_S = 0.0002
"""What the event loop takes for a small picture, from header to answer but without the network.
Source: docs/benchmarks.md, Zen 4; a Zen 5 takes less, and a second process wins a twentieth there at 0.15 ms."""
_ON_THE_SPOT_S = 0.0003
"""The longest that a picture may take the network, for the event loop of a process with one core to run it.
Source: docs/benchmarks.md: up to 0.3 ms two such processes answered 1.05 to 1.17 times as many so."""
_ON_THE_SPOT_BESIDE_ENGINE_S = 0.00004
"""The same where the engine's thread has a core of its own: what takes longer is handed to it.
Source: docs/benchmarks.md: with two cores 1.35 times the answers on the spot at 0.02 ms, 0.88 times at 0.06."""
_MOST_WORKERS = 4
"""Processes that are started without having been asked for: each takes some 750 MB. Source: choice."""


class Share(NamedTuple):
    """How many cores one process has, and how many threads each part of it gets."""

    cores: int
    engine: int
    decode: int


def share(cores: int, *, workers: int) -> Share:
    """Split the cores among the workers.

    One core of each worker is left to its event loop, which is busy whenever the engine is. Decoding threads may
    use all of them: what they decode is what the engine waits for.

    Source: docs/benchmarks.md; on 2 cores one engine thread answered 850 small pictures a second, two 660.
    """
    each = max(1, cores // workers)
    return Share(cores=each, engine=max(1, each - 1), decode=each)


def choose_workers(cores: int, *, picture_s: float) -> int:
    """Choose how many processes keep the cores busy with small pictures.

    An event loop has one core. A process whose network takes longer than that fills the others with it; a quick
    network leaves them idle, and there should be more event loops.

    Args:
        cores: that all of them may use.
        picture_s: what the network takes for a picture, in seconds of one core, in a batch.

    Source: docs/benchmarks.md: 1.10 times the answers from two processes on 2 cores at 0.12 ms, 0.85 times at
    0.25 ms.
    """
    loops = math.ceil(cores * EVENT_LOOP_S / (EVENT_LOOP_S + picture_s))
    return max(1, min(loops, cores, _MOST_WORKERS))


def longest_on_the_spot(cores: int) -> float:
    """Tell how long a picture may take the network, in seconds, for the event loop to run it itself.

    Args:
        cores: of this process; of a single one the engine's thread would take what the event loop needs.
    """
    return _ON_THE_SPOT_S if cores == 1 else _ON_THE_SPOT_BESIDE_ENGINE_S
