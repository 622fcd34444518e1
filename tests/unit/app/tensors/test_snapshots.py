"""Shared memory is found by pointer; values are bounded, and those of uninitialised memory are withheld."""

import numpy as np
import pytest
import torch

from app.tensors.snapshots import MAX_ELEMENTS, WITHHELD, Album, Snapshot, describe, region_of


def _take(**values: object) -> dict[str, Snapshot]:
    return {shot.name: shot for shot in Album().take(values, list(values), withheld=())}


def test_a_tensor_is_described_as_it_is() -> None:
    """Kind, shape, dtype, device, strides in elements, values, gradient."""
    x = torch.arange(6, dtype=torch.float32).view(2, 3).t().requires_grad_()
    shot = _take(x=x)["x"]
    assert shot == Snapshot(
        name="x",
        kind="tensor",
        shape=(3, 2),
        dtype="torch.float32",
        device="cpu",
        strides=(1, 3),
        values=[[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]],
        note=None,
        memory="m1",
        shares_memory_with=(),
        requires_grad=True,
    )
    assert (
        describe(shot)
        == "x: tensor, 3 × 2, float32, cpu, strides [1, 3], memory m1, values [[0, 3], [1, 4], [2, 5]]"
    )


def test_an_array_is_described_alike() -> None:
    """Its strides are elements, too, though NumPy counts bytes."""
    shot = _take(a=np.zeros((2, 3), np.int64)[:, ::-1])["a"]
    assert (shot.kind, shot.shape, shot.dtype, shot.device) == ("array", (2, 3), "int64", "cpu")
    assert (shot.strides, shot.values, shot.requires_grad) == ((3, -1), [[0, 0, 0], [0, 0, 0]], False)


def test_views_share_and_copies_do_not() -> None:
    """Of one storage: a view, a part, a transpose, an expansion, an array; not: a clone, a sum."""
    x = torch.zeros(4, 4)
    same = {
        "x": x,
        "view": x.view(16),
        "part": x[2:, 1],
        "turned": x.t(),
        "wide": x[:1].expand(9, 4),
        "array": x.numpy(),
    }
    other = {"clone": x.clone(), "sum": x + 1, "copied": torch.tensor(x.tolist())}
    shots = _take(**same, **other)
    for name in same:
        assert set(shots[name].shares_memory_with) == same.keys() - {name}
        assert shots[name].memory == "m1"
    for name in other:
        assert shots[name].shares_memory_with == ()
    assert len({shot.memory for shot in shots.values()}) == 1 + len(other)
    assert describe(shots["view"]).endswith("memory m1, shared with x, part, turned, wide, array")


def test_arrays_share_with_tensors_made_from_them() -> None:
    """Through a part of the array, too, and from one part to another by way of the whole."""
    a = np.ones(8)
    shots = _take(a=a, head=torch.from_numpy(a[:2]), tail=torch.from_numpy(a[6:]), copied=torch.tensor(a))
    assert shots["head"].shares_memory_with == ("a", "tail")
    assert shots["tail"].memory == shots["a"].memory
    assert shots["copied"].shares_memory_with == ()


def test_the_whole_joins_parts_that_were_seen_before() -> None:
    """Two parts of an array have nothing in common until the array is seen; then all three share."""
    a = np.ones(8)
    head, tail = torch.from_numpy(a[:2]), torch.from_numpy(a[6:])
    album = Album()
    apart = album.take({"head": head, "tail": tail}, ["head", "tail"], withheld=())
    assert [shot.memory for shot in apart] == ["m1", "m2"]
    again = album.take({"tail": tail, "a": a, "head": head}, ["tail", "a"], withheld=())
    shots = {shot.name: shot for shot in again}
    assert shots["tail"].shares_memory_with == ("a", "head")
    assert {shot.memory for shot in shots.values()} == {"m1"}


def test_the_whole_of_a_withheld_part_is_withheld() -> None:
    """Whichever of its parts it was, and in whatever order they were seen."""
    a = np.full(8, 77.0)
    head, tail = torch.from_numpy(a[:2]), torch.from_numpy(a[6:])
    album = Album()
    album.take({"head": head, "tail": tail}, ["head"], withheld=("tail",))
    for shot in album.take({"head": head, "a": a}, ["head", "a"], withheld=()):
        assert (shot.values, shot.note) == (None, WITHHELD)


def test_memory_that_is_used_again_is_not_shared() -> None:
    """What a name held before is kept, or the next tensor would get its pointer, and its id."""
    album = Album()
    memories = set()
    for _ in range(20):
        (shot,) = album.take({"x": torch.zeros(64)}, ["x"], withheld=())
        memories.add(shot.memory)
    assert len(memories) == 20


def test_nothing_shares_no_memory() -> None:
    """Tensors without elements have no memory: all their pointers are 0, or point to nothing."""
    shots = _take(a=torch.zeros(0), b=torch.zeros(0), c=np.zeros(0), d=np.zeros(0))
    assert len({shot.memory for shot in shots.values()}) == 4
    assert shots["a"].values == []


def test_a_region_is_the_whole_storage() -> None:
    """Two parts that have no element in common still share one."""
    x = torch.zeros(10, dtype=torch.float64)
    assert region_of(x[:2]) == region_of(x[5:]) == region_of(x.numpy()[3:])
    start = x.untyped_storage().data_ptr()
    assert region_of(x) == ("cpu", start, start + 80)


def test_json_has_a_text_for_what_is_no_number() -> None:
    """NaN and infinities are text, booleans stay booleans, a number alone is a number."""
    shots = _take(
        x=torch.tensor([[float("nan"), float("inf")], [float("-inf"), 1.5]]),
        yes=torch.tensor([True, False]),
        one=torch.tensor(7),
        half=torch.tensor([0.5], dtype=torch.bfloat16),
    )
    assert shots["x"].values == [["nan", "inf"], ["-inf", 1.5]]
    assert shots["yes"].values == [True, False]
    assert (shots["one"].values, shots["one"].shape) == (7, ())
    assert shots["half"].values == [0.5]


def test_a_line_for_people_is_short() -> None:
    """Few values are in it, with four digits; many, and those that are withheld, are not."""
    shots = _take(few=torch.tensor([1 / 3, float("nan")]), many=torch.zeros(9), whole=torch.tensor(12_345))
    assert describe(shots["few"]).endswith(", values [0.3333, nan]")
    assert describe(shots["many"]).endswith("strides [1], memory m2")
    assert describe(shots["whole"]).endswith("one number, int64, cpu, strides [], memory m3, values 12345")
    (hidden,) = Album().take({"x": torch.tensor([77])}, ["x"], withheld=("x",))
    assert "77" not in describe(hidden)


@pytest.mark.parametrize("many", [torch.zeros(MAX_ELEMENTS + 1), np.zeros(MAX_ELEMENTS + 1)])
def test_too_many_values_are_left_out(many: object) -> None:
    """With a note that says how many there are."""
    shot = _take(x=many)["x"]
    assert shot.values is None
    assert shot.note == "The values are left out: there are 257, and at most 256 are shown."
    assert _take(x=torch.zeros(MAX_ELEMENTS))["x"].note is None


def test_withheld_memory_is_withheld_under_every_name() -> None:
    """Of the tensor, of its views and arrays, and in all later steps; a note says why."""
    album = Album()
    x = torch.zeros(4)
    album.take({"x": x}, ["x"], withheld=("x",))
    later = {"y": x.view(2, 2), "z": x.numpy(), "free": x + 1}
    shots = {shot.name: shot for shot in album.take(later, list(later), withheld=())}
    for name in ("y", "z"):
        assert (shots[name].values, shots[name].note) == (None, WITHHELD)
    assert shots["free"].values == [1.0] * 4


def test_only_what_is_named_is_shown_but_all_is_compared() -> None:
    """A name that is neither tensor nor array is passed over, and one that comes twice is shown once."""
    x = torch.zeros(2)
    namespace = {"x": x, "y": x.view(1, 2), "n": 3, "unnamed": x}
    shots = Album().take(namespace, ["y", "n", "missing", "y"], withheld=())
    assert [(shot.name, shot.shares_memory_with) for shot in shots] == [("y", ("x", "unnamed"))]
