"""The processes that train together, as far as one process can show it; two are in tests/e2e/test_resume.py."""

from datetime import timedelta
from typing import Any

import pytest
import torch

from tests.operations import Operations
from training.errors import TrainingError
from training.ranks import ALONE, Ranks, is_first_process, join_ranks

CPU = torch.device("cpu")


@pytest.mark.parametrize(("pictures", "world"), [(32, 2), (37, 3), (5, 5)])
def test_shares_make_the_whole_batch(pictures: int, world: int) -> None:
    """Every picture is in exactly one share, and shares differ by one picture at most."""
    index = torch.randperm(pictures)
    shares = [Ranks(rank, world).share(index) for rank in range(world)]
    assert torch.equal(torch.cat(shares), index)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first, and network, losses and wishes stay its own."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    network, loss = torch.nn.Linear(1, 1), torch.tensor(3.0)
    with join_ranks(CPU) as (ranks, device):
        assert ranks is ALONE
        assert ranks.is_first
        assert device == CPU
        assert ranks.parallel(ranks.together(network)) is network
        assert ranks.total(loss) is loss
        assert ranks.scale(loss) is loss


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (
            "2",
            "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT are not set: start the processes with torchrun",
        ),
        ("two", "WORLD_SIZE is 'two', and no number of processes"),
        ("0", "WORLD_SIZE is '0', and no number of processes"),
        ("-1", "WORLD_SIZE is '-1', and no number of processes"),
    ],
)
def test_half_of_torchruns_environment_is_a_sentence(
    world: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As batch systems set it."""
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(TrainingError, match=sentence), join_ranks(CPU):
        pass


def test_an_empty_number_of_processes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process."""
    monkeypatch.setenv("WORLD_SIZE", "")
    with join_ranks(CPU) as (ranks, _):
        assert ranks is ALONE


@pytest.mark.parametrize(("rank", "is_first"), [(None, True), ("0", True), ("1", False)])
def test_the_first_process_is_known_before_they_are_joined(
    rank: str | None, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without torchrun is the first."""
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_first_process() is is_first


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What torch.distributed is asked for by the second process of two, on a machine with two GPUs."""
    asked: list[tuple[str, dict[str, Any]]] = []
    for name, value in (
        ("WORLD_SIZE", "2"),
        ("RANK", "1"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "x"),
        ("MASTER_PORT", "1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend, **more: asked.append((backend, more))
    )
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    for name in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda: None)
    return asked


@pytest.mark.parametrize(
    ("chosen", "backend", "own"),
    [("cpu", "gloo", None), ("cuda", "cpu:gloo,cuda:nccl", torch.device("cuda", 1))],
)
def test_processes_are_patient_and_have_a_device_each(
    groups: list[tuple[str, dict[str, Any]]], chosen: str, backend: str, own: torch.device | None
) -> None:
    """The first one may measure for hours; and NCCL is told the device, or it would guess."""
    with join_ranks(torch.device(chosen)) as (ranks, device):
        assert ranks == Ranks(1, 2)
        assert device == (own or CPU)
    assert groups == [(backend, {"timeout": timedelta(days=1), "device_id": own})]


def test_more_processes_than_gpus_are_a_sentence(
    groups: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything waits for the process that has none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(TrainingError, match=r"Process 2 .* there are 1\. .*--nproc_per_node=1 at most"),
        join_ranks(torch.device("cuda")),
    ):
        pass
    assert groups == []


def test_one_process_agrees_with_itself_without_a_tensor() -> None:
    """At every step: a tensor on a GPU would be waited for."""
    with Operations() as operations:
        assert ALONE.agree(True)
        assert not ALONE.agree(False)
    assert operations.names == []


def test_who_waits_for_a_first_process_that_has_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises no traceback beside the sentence that the first one ended with."""

    def fail() -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "barrier", fail)
    alone = Ranks(1, 2).first_alone()
    with pytest.raises(TrainingError, match=r"^Another process of this training has ended \(Connection closed"):
        alone.__enter__()


@pytest.mark.parametrize(
    "want",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_who_has_no_memory_for_the_wait_says_that(want: RuntimeError, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have not ended, and whoever catches it knows what to do about memory."""

    def fail() -> None:
        raise want

    monkeypatch.setattr(torch.distributed, "barrier", fail)
    waiting = Ranks(1, 2).first_alone()
    with pytest.raises(type(want), match=r"memory") as raised:
        waiting.__enter__()
    assert raised.value is want
