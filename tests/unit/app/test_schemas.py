"""What the service tells of a checkpoint."""

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.schemas import ModelBody
from models.calibration import BeforeAndAfter, Calibration, HeldOut, Reliability
from models.errors import CheckpointError
from models.metrics import Coverage, ScoreBin
from models.record import Record, from_text, to_text

VALUES: tuple[object, ...] = ("text", "\udce9", None, [], {}, True, -3, 1.5, 10**30, 1e300, [1], {"a": "b"})
"""One of each kind that JSON has, and what is likely to be wrong."""


def _full(record: Record) -> Record:
    """The record with everything that may be missing in it."""
    number = Reliability(0.3, 0.1, 0.02, 0.02)
    both = BeforeAndAfter(number, number)
    held_out = HeldOut(500, {"single_view": both, "six_views": both}, 0.95, 0.9)
    return dataclasses.replace(
        record,
        calibration=Calibration(abstain_threshold=0.5, distance_threshold=2.0, held_out=held_out),
        metrics=dataclasses.replace(
            record.metrics,
            accepted=0.9,
            accuracy_of_accepted=0.95,
            reliability_bins=(ScoreBin(lower=0.6, upper=0.7, n=3, score=0.65, accuracy=2 / 3),),
            coverage=(Coverage(coverage=0.5, n=1, accuracy=1.0, score=0.9),),
        ),
    )


def _places(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to each value within, through the names of tables and the first of each list."""
    if place:
        yield place
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:1]):
            yield from _places(inner, (*place, number))


def _tell(record: Record) -> str:
    parts = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return ModelBody.model_validate({**parts, "digest": "sha256:0"}, from_attributes=True).model_dump_json()


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_what_a_checkpoint_is_loaded_with_can_be_told(record: Record, value: object) -> None:
    """Whatever stands at whichever place of its text: it is refused while it is read, or GET /model tells it."""
    fields: dict[str, Any] = json.loads(to_text(_full(record), tensors_sha256="0" * 64))
    places = list(_places(fields))
    assert len(places) > 70
    for place in places:
        changed: Any = copy.deepcopy(fields)
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        try:
            found, _, _ = from_text(json.dumps(changed))
        except CheckpointError:
            continue
        assert json.loads(_tell(found))["name"] == found.name, place
