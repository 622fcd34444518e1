"""The processes that train together, as far as one process can show it; two are in tests/e2e/test_resume.py."""

import pytest
import torch

from tests.operations import Operations
from training.ranks import ALONE, Ranks, join_ranks

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


def test_one_process_agrees_with_itself_without_a_tensor() -> None:
    """At every step: a tensor on a GPU would be waited for."""
    with Operations() as operations:
        assert ALONE.agree(True)
        assert not ALONE.agree(False)
    assert operations.names == []
