"""What a tensor or an array is at one moment, and whose memory it looks at: found by pointer, never assumed."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds
from torch import Tensor

MAX_ELEMENTS = 256
"""Most elements whose values are shown: more are no help to a reader, and would make large answers."""
WITHHELD = "The values are withheld: this memory is uninitialised, and may hold what another request left in it."

_FEW = 8
"""Most values that are shown on a line for people."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Snapshot:
    """A tensor or an array under one name.

    Attributes:
        name: name of the variable.
        kind: tensor or array.
        shape: sizes of its axes.
        dtype: the dtype, as it prints.
        device: cpu, cuda:0, …
        strides: steps along its axes, in elements.
        values: nested lists of numbers and booleans, with "nan", "inf" and "-inf"; None where `note` says why.
        note: why there are no values.
        memory: the same for all that look at the same memory during a run: m1, m2, …
        shares_memory_with: other names that look at it at this moment.
        requires_grad: autograd writes down what is done with it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    strides: tuple[int, ...]
    values: object
    note: str | None
    memory: str
    shares_memory_with: tuple[str, ...]
    requires_grad: bool


class Region(NamedTuple):
    """A piece of memory: the bytes from start up to, but not including, end."""

    device: str
    start: int
    end: int

    def overlaps(self, other: "Region") -> bool:
        """Say whether a byte belongs to both."""
        return self.device == other.device and self.start < other.end and other.start < self.end


@dataclass
class _Memory:
    """Regions that overlap, directly or by way of others.

    Attributes:
        name: m1, m2, …
        regions: the memory of every value that was seen in it.
        is_withheld: its values are shown to nobody.
    """

    name: str
    regions: set[Region]
    is_withheld: bool = False

    def overlaps(self, region: Region) -> bool:
        """Say whether a byte of the region belongs to it."""
        return any(known.overlaps(region) for known in self.regions)


class Album:
    """The snapshots of one run.

    It holds everything that it has seen: freed memory would be handed out again, and two tensors that never met
    would then have the same pointer.
    """

    def __init__(self) -> None:
        self._held: dict[int, Tensor | Array] = {}
        self._memories: list[_Memory] = []
        self._count = 0

    def take(
        self, namespace: Mapping[str, object], names: Iterable[str], *, withheld: Collection[str]
    ) -> list[Snapshot]:
        """Look at variables as they are now.

        Args:
            namespace: all variables.
            names: of those to show; what is neither tensor nor array is passed over.
            withheld: names of those whose memory is shown to nobody, from now on and under no name.
        """
        values = {name: value for name, value in namespace.items() if isinstance(value, Tensor | np.ndarray)}
        for value in values.values():
            self._see(value)
        memories = {name: self._memory(value) for name, value in values.items()}
        for name in withheld:
            memories[name].is_withheld = True
        return [self._snapshot(name, values[name], memories) for name in dict.fromkeys(names) if name in values]

    def _see(self, value: Tensor | Array) -> None:
        """Note the memory of a value; memories that it overlaps are one from now on."""
        self._held[id(value)] = value
        region = region_of(value)
        joined = [memory for memory in self._memories if memory.overlaps(region)]
        if joined:
            first, *others = joined
            first.regions |= {region}.union(*(memory.regions for memory in others))
            first.is_withheld |= any(memory.is_withheld for memory in others)
            self._memories = [memory for memory in self._memories if memory not in others]
        else:
            self._count += 1
            self._memories.append(_Memory(f"m{self._count}", {region}))

    def _memory(self, value: Tensor | Array) -> _Memory:
        region = region_of(value)
        return next(memory for memory in self._memories if memory.overlaps(region))

    def _snapshot(self, name: str, value: Tensor | Array, memories: Mapping[str, _Memory]) -> Snapshot:
        memory = memories[name]
        count = value.numel() if isinstance(value, Tensor) else value.size
        note = None
        if memory.is_withheld:
            note = WITHHELD
        elif count > MAX_ELEMENTS:
            note = f"The values are left out: there are {count:,}, and at most {MAX_ELEMENTS} are shown."
        if isinstance(value, Tensor):
            kind, device, strides = "tensor", str(value.device), value.stride()
        else:
            kind, device = "array", "cpu"
            strides = tuple(stride // value.itemsize for stride in value.strides)
        return Snapshot(
            name=name,
            kind=kind,
            shape=tuple(value.shape),
            dtype=str(value.dtype),
            device=device,
            strides=strides,
            values=None if note else _plain(value.tolist()),
            note=note,
            memory=memory.name,
            shares_memory_with=tuple(
                other for other, its_memory in memories.items() if its_memory is memory and other != name
            ),
            requires_grad=isinstance(value, Tensor) and value.requires_grad,
        )


def region_of(value: Tensor | Array) -> Region:
    """Find the memory that a value looks at: a tensor's whole storage, or the whole array below an array.

    What has no elements has no memory; it gets a place of its own, which nothing overlaps.
    """
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        device, start, end = str(value.device), storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    else:
        whole = value
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        device, (start, end) = "cpu", byte_bounds(whole)
    return Region(device, start, end) if end > start and start else Region("nowhere", id(value), id(value) + 1)


def _plain(values: Any) -> object:  # noqa: ANN401 - nested lists of any depth
    """Write NaN and infinities as text: JSON has no word for them."""
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return str(values) if isinstance(values, float) and not math.isfinite(values) else values


def describe(snapshot: Snapshot) -> str:
    """Tell a snapshot in one line, for people; its values only where they are few."""
    shape = " × ".join(map(str, snapshot.shape)) or "one number"
    shares = f", shared with {', '.join(snapshot.shares_memory_with)}" if snapshot.shares_memory_with else ""
    few = math.prod(snapshot.shape) <= _FEW and not snapshot.note
    return (
        f"{snapshot.name}: {snapshot.kind}, {shape}, {snapshot.dtype.removeprefix('torch.')}, {snapshot.device}, "
        f"strides {list(snapshot.strides)}, memory {snapshot.memory}{shares}"
        f"{f', values {_shortened(snapshot.values)}' if few else ''}"
    )


def _shortened(values: object) -> str:
    if isinstance(values, list):
        return f"[{', '.join(_shortened(value) for value in values)}]"
    return f"{values:.4g}" if isinstance(values, float) else str(values)
