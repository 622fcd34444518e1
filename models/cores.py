"""How many cores this process may use: decoding needs to know it in the service and in training alike."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Count the cores that this process is allowed: its affinity, and the smallest quota over it, rounded up.

    A container sees its own control group as the root of all; systemd's `CPUQuota` is in a group below the root,
    and any group above that may have a quota, too.

    Args:
        groups: folder of the control groups; those of version 1 are in its folder `cpu`.
        membership: file that says in which of them this process is.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _own_groups(groups, membership) if (quota := _quota(group)) is not None]
    return max(1, min([cores, *map(math.ceil, quotas)]))


def _own_groups(groups: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the groups that a process may be in, each with all above it; some are not there.

    Source: cgroups(7), /proc/pid/cgroup: `0::/path` for version 2, `4:cpu,cpuacct:/path` for version 1.
    """
    roots = {"": groups, "cpu": groups / "cpu"}
    yield from roots.values()
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", maxsplit=2)
        own = path.strip("/").split("/")
        for root in (roots[controller] for controller in controllers.split(",") if controller in roots):
            yield from (root.joinpath(*own[:depth]) for depth in range(1, len(own) + 1))


def _quota(group: Path) -> float | None:
    """Read how many cores' time a group may use; None where it has no limit, or is none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text() for name in names).split()
            return None if quota in ("max", "-1") else int(quota) / int(period)
        except (OSError, ValueError):
            continue
    return None
