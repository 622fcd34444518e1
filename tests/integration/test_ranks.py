"""Two processes of one training, over gloo on a CPU, in what a whole run would take minutes to show."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from models.networks import Architecture, build
from models.networks.layers import ShiftBatchNorm
from models.preprocessing import InputSpec
from training.devices import Computing
from training.learner import make_learner
from training.ranks import ALONE, Ranks
from training.recipes import ACCURATE
from training.selection import make_selector
from training.synchronised import SynchronisedBatchNorm


def _join(rank: int, store: Path, *, world: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A group of one."""
    _join(0, tmp_path / "store", world=1)
    yield
    torch.distributed.destroy_process_group()


def _gradients(ranks: Ranks, *, is_compiled: bool) -> dict[str, Tensor]:
    """Make the gradients of one step of a small network, on this process's share of twelve pictures."""
    torch.manual_seed(0)
    norm = ShiftBatchNorm(4, rate=0.4)
    network = ranks.together(
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.GELU(), nn.Flatten(), nn.Linear(64, 3))
    )
    forward: nn.Module = torch.compile(network, backend="aot_eager") if is_compiled else network  # type: ignore[assignment]  # the types say a function
    features, index = torch.randn(12, 3, 6, 6), ranks.share(torch.arange(12))
    logits = ranks.parallel(forward)(features[index])
    ranks.scale(F.cross_entropy(logits, index % 3, reduction="sum")).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def _compare(rank: int, store: Path) -> None:
    _join(rank, store, world=2)
    ranks = Ranks(rank, 2)
    eager, compiled = (_gradients(ranks, is_compiled=is_compiled) for is_compiled in (False, True))
    assert eager.keys() == compiled.keys()
    for name, gradient in eager.items():
        assert (compiled[name] - gradient).norm() <= 1e-4 * gradient.norm(), name
    torch.distributed.destroy_process_group()


def test_compiled_processes_have_the_gradients_of_eager_ones(tmp_path: Path) -> None:
    """PyTorch 2.11, given the batch norms to compile, left their sums out of the backward pass."""
    spawn(_compare, args=(tmp_path / "store",), nprocs=2)


def _agree(rank: int, store: Path) -> None:
    _join(rank, store, world=2)
    ranks = Ranks(rank, 2)
    assert [ranks.agree(wish) for wish in (False, rank == 0, rank == 1, True)] == [False, True, True, True]
    torch.distributed.destroy_process_group()


def test_what_one_process_wants_all_do(tmp_path: Path) -> None:
    """Whichever it is; and what nobody wants nobody does."""
    spawn(_agree, args=(tmp_path / "store",), nprocs=2)


def _gather(rank: int, store: Path) -> None:
    _join(rank, store, world=2)
    ranks, batch = Ranks(rank, 2), torch.arange(5.0) ** 2
    assert torch.equal(ranks.gather(ranks.share(batch), count=5), batch)
    torch.distributed.destroy_process_group()


def test_shares_of_a_batch_are_joined_in_its_order(tmp_path: Path) -> None:
    """Of five pictures one process has three and the other two."""
    spawn(_gather, args=(tmp_path / "store",), nprocs=2)


def _select(ranks: Ranks) -> dict[str, Tensor]:
    """Make five steps of two small networks, of which one selects for the other."""
    recipe = replace(ACCURATE, architecture=Architecture("residual", {"widths": [8, 8, 8]}), batch_size=15)
    images = torch.randint(0, 256, (15, 24, 24, 3), generator=torch.Generator().manual_seed(0)).byte()
    spec, computing = InputSpec(height=24, width=24), Computing(torch.device("cpu"), torch.float32)
    torch.manual_seed(0)
    network = ranks.together(build(recipe.architecture, classes=3, spec=spec))
    selector = make_selector(recipe, images, classes=3, spec=spec, computing=computing, ranks=ranks)
    assert selector is not None
    learner = make_learner(recipe, network, pictures=15, selector=selector, computing=computing, ranks=ranks)
    for _ in range(5):
        chosen = learner.choose(torch.arange(15), lambda index: (images[index], index % 3))
        share = ranks.share(chosen)
        learner.learn(images[share], share % 3)
    return {**network.state_dict(), **{f"small.{k}": t for k, t in selector.student.network.state_dict().items()}}


def _select_together(rank: int, store: Path, alone: dict[str, Tensor]) -> None:
    _join(rank, store, world=2)
    for name, tensor in _select(Ranks(rank, 2)).items():
        assert (tensor - alone[name]).float().norm() <= 0.001 * alone[name].float().norm(), name
    torch.distributed.destroy_process_group()


def test_two_processes_select_what_one_does(tmp_path: Path) -> None:
    """Eight of fifteen pictures, five times; both networks end within 0.1 % of those of one process."""
    spawn(_select_together, args=(tmp_path / "store", _select(ALONE)), nprocs=2)


@pytest.mark.usefixtures("one_process")
def test_wrapping_a_network_warns_of_nothing_and_shares_no_statistics() -> None:
    """It happens whenever some parameters come to rest; statistics are the same everywhere before a step."""
    norm = SynchronisedBatchNorm(ShiftBatchNorm(5, rate=0.4))
    parallel = Ranks(0, 2).parallel(norm)
    assert not parallel.broadcast_buffers


@pytest.mark.usefixtures("one_process")
def test_sums_over_processes_are_never_compiled() -> None:
    """The compiler gets nothing of a batch norm that waits for other processes."""
    graphs = []

    def note(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    features = torch.randn(4, 5, 3, 3)
    eager, compiled = (SynchronisedBatchNorm(ShiftBatchNorm(5, rate=0.4)) for _ in range(2))
    assert torch.equal(torch.compile(compiled, backend=note)(features), eager(features))
    assert graphs == []
