"""Several processes that train one network: `torchrun --nproc_per_node=N -m training train …`.

Each batch is divided among them. What depends on the whole batch is made of all shares: gradients and
losses are summed, batch-norm statistics are taken over all pictures. So N processes make the steps that
one would make, up to the order in which numbers are added.
"""

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.memory import lacks_device_memory, lacks_memory
from training.errors import TrainingError
from training.interrupts import sigterm_ends
from training.synchronised import synchronise

_BACKENDS = {"cuda": "cpu:gloo,cuda:nccl", "cpu": "gloo"}
"""Wishes are agreed on between CPUs even where everything else is summed on GPUs."""
_PATIENCE = timedelta(days=1)
"""While the first process reads, measures and writes the others wait for it; NCCL alone would for ten minutes."""

_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What it puts into the environment of each process, beside their number."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this is.

    Attributes:
        rank: of this process, from 0; the first one saves, writes and talks.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process saves, writes and talks."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """Give this process's part of a batch."""
        return index.tensor_split(self.world)[self.rank]

    def total(self, value: Tensor) -> Tensor:
        """Add up what each process has."""
        if self.world > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def gather(self, own: Tensor, *, count: int) -> Tensor:
        """Join what each process has of a batch, a number for each picture of its share.

        Args:
            own: (share,).
            count: pictures of the batch.

        Returns:
            (count,), in the order of the batch.
        """
        whole = own.new_zeros(count)
        self.share(whole).copy_(own)
        return self.total(whole)

    def agree(self, is_wanted: bool) -> bool:
        """Whether any process wants something, so that all do it at the same step; no GPU is waited for."""
        return is_wanted if self.world == 1 else bool(self.total(torch.tensor(float(is_wanted))))

    def scale(self, loss: Tensor) -> Tensor:
        """Undo DistributedDataParallel's division of the gradients: losses here are sums, not means."""
        return loss * self.world if self.world > 1 else loss

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap a network, whose batch norms are synchronised, so that its gradients are summed."""
        if self.world == 1:
            return network
        device = next(network.parameters()).device
        ids = None if device.type == "cpu" else [device]
        parallel = DistributedDataParallel(network, device_ids=ids)
        # All have the same statistics. Said here: as an argument PyTorch 2.14 warns of it, and 2.11 does not know
        # its newer name.
        parallel.broadcast_buffers = False
        return parallel

    def together(self, network: nn.Module) -> nn.Module:
        """Make batch norms see the whole batch instead of this process's share."""
        return synchronise(network) if self.world > 1 else network

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process through before the others: it downloads and writes what they then read.

        Raises:
            TrainingError: another process has ended instead; what it says is the reason.
        """
        if self.world > 1 and not self.is_first:
            _wait_for_all()
        yield
        if self.world > 1 and self.is_first:
            _wait_for_all()


ALONE = Ranks()
"""One process, as without torchrun."""


@contextlib.contextmanager
def join_ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Find the other processes that torchrun started; without torchrun there is this one alone.

    Args:
        device: that was chosen.

    Yields:
        The processes, and the device of this one.

    Raises:
        TrainingError: there are fewer CUDA devices than processes, or torchrun has not started them.
    """
    world = count_processes()
    if world == 1:
        yield ALONE, device
        return
    missing = [name for name in _OF_TORCHRUN if not os.environ.get(name)]
    if missing:
        raise TrainingError(
            f"WORLD_SIZE is {world}, but {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: "
            "start the processes with torchrun, or take WORLD_SIZE out of the environment."
        )
    own = None
    if device.type == "cuda":
        device = own = _own_device()
        torch.cuda.set_device(own)
    torch.distributed.init_process_group(_BACKENDS[device.type], timeout=_PATIENCE, device_id=own)
    try:
        yield Ranks(torch.distributed.get_rank(), world), device
        # The first one still measures and writes. Who left before it aborted in 2 of 14 runs, and torchrun then
        # stopped the first one too; leaving together none did in 84.
        _wait_for_all()
    finally:
        gc.collect()  # DistributedDataParallel is a circle, and would use the group after its end
        torch.distributed.destroy_process_group()


def count_processes() -> int:
    """Count the processes that train together, as torchrun tells them in the environment.

    Raises:
        TrainingError: what stands there is no number.
    """
    told = os.environ.get("WORLD_SIZE") or "1"
    if not told.isdecimal() or not int(told):
        raise TrainingError(f"WORLD_SIZE is {told!r}, and no number of processes: take it out of the environment.")
    return int(told)


def is_first_process() -> bool:
    """Whether this process writes and talks, as torchrun tells it in the environment: before any are joined."""
    return os.environ.get("RANK", "0") == "0"


def _wait_for_all() -> None:
    try:
        with sigterm_ends():
            torch.distributed.barrier()
    except RuntimeError as error:
        if lacks_memory(error) or lacks_device_memory(error):
            raise
        raise TrainingError(f"Another process of this training has ended ({error}).") from error


def _own_device() -> torch.device:
    """Give the process the CUDA device of its number on this machine."""
    place, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= count:
        raise TrainingError(
            f"Process {place + 1} of this machine has no CUDA device of its own: there are {count}. Start "
            f"torchrun with --nproc_per_node={count} at most, or use --device cpu."
        )
    return torch.device("cuda", place)
