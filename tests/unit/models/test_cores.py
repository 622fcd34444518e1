"""How many cores there are."""

import os
from pathlib import Path

import pytest

from models.cores import usable_cores


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
    assert usable_cores(tmp_path, tmp_path / "membership") == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("-1\n", "100000\n", 4), ("200000\n", "100000\n", 2), ("75000\n", "50000\n", 2), ("1000\n", "100000\n", 1)],
)
def test_a_quota_of_the_first_version_counts_too(tmp_path: Path, quota: str, period: str, cores: int) -> None:
    """In two files of a folder of their own; -1 is no limit."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text(period)
    assert usable_cores(tmp_path, tmp_path / "membership") == cores


@pytest.mark.parametrize("limited", ["system.slice/glimpse.service", "system.slice"])
@pytest.mark.parametrize(
    ("membership", "root"),
    [
        pytest.param("0::/system.slice/glimpse.service\n", "", id="version 2"),
        pytest.param(
            "7:memory:/user.slice\n4:cpu,cpuacct:/system.slice/glimpse.service\n0::/user.slice\n",
            "cpu",
            id="version 1",
        ),
    ],
)
def test_the_quota_of_a_group_below_the_root_counts(
    tmp_path: Path, membership: str, root: str, limited: str
) -> None:
    """As systemd's CPUQuota sets it, for the process's own group or for one above; others' do not matter."""
    (tmp_path / "membership").write_text(membership)
    for folder, quota in ((limited, 200_000), ("user.slice/other.service", 100_000)):
        group = tmp_path / root / folder
        group.mkdir(parents=True)
        files = (
            {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100_000} if root else {"cpu.max": f"{quota} 100000"}
        )
        for name, content in files.items():
            (group / name).write_text(f"{content}\n")
    assert usable_cores(tmp_path, tmp_path / "membership") == 2


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    """Not the cores of the machine: `taskset` and Kubernetes' static policy give fewer."""
    assert usable_cores(tmp_path, tmp_path / "membership") == 4


def test_where_there_is_no_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS; and where even that is unknown, there is one."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores(tmp_path, tmp_path / "membership") == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path, tmp_path / "membership") == 1
