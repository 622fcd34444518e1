"""How many cores decoding may use."""

import os


def usable_cores() -> int:
    """Count the cores that this process may run on; in a container they may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
