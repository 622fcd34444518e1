"""Whether an earlier training may have learnt what a new one is judged on."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.record import Record
from training.data.dataset import Dataset, fingerprint
from training.data.held_out import COPIES_TOGETHER, HELD_OUT_FINGERPRINT, HELD_OUT_PART, VAL
from training.data.rereading import held_out_count, holds_val_out

DOUBTED = "may_know_held_out"
"""Field of a training's configuration: true where its teacher or start may have learnt what it is judged on."""


def doubt(who: str, record: Record, configuration: Mapping[str, Any], *, is_test_drawn: bool) -> str | None:
    """Say why an earlier training may have learnt what this one is judged on; None where it has not.

    A seed holds out the same pictures of the same data; of a larger number these and more, unless copies of one
    picture are kept together, which may leave some out that went for a smaller one. Who knows none of the classes,
    and grew from nobody else, is taken to have seen none of the pictures; under other names it may have. Who
    learnt from the same training pictures, of however many of them, does not know the val part; who held that out
    has learnt all of them.

    Args:
        who: "the teacher", for the sentence.
        record: of the earlier training's checkpoint.
        configuration: of this one, but for earlier trainings (`training/plan.py`).
        is_test_drawn: whether the seed drew the test part of this one's data, too.
    """
    if _is_stranger(record, configuration["labels"]):
        return None
    reasons = _trained_otherwise(record, configuration, is_test_drawn=is_test_drawn)
    may_know_test = is_test_drawn and len(reasons) > 0
    reasons += _held_out_otherwise(record, configuration, is_same_otherwise=not reasons)
    wanted = configuration["held_out"]
    if not reasons or not (wanted or may_know_test):
        return None
    parts, harms = [], []
    if wanted:
        parts.append("held out")
        harms.append("temperature and abstain rule come out too sure")
    if may_know_test:
        parts.append("measured on")
        harms.append("the accuracy comes out too high")
    return (
        f"warning: {who} was trained with {', '.join(reasons)}, so it may know what is {' and '.join(parts)} "
        f"here; {', and '.join(harms)} then. Take one with the same data, --seed and --held-out, unless neither "
        "it nor what it grew from can have seen these pictures: one from elsewhere, and photos of your own."
    )


def doubt_as_judge(record: Record, dataset: Dataset) -> str | None:
    """Say why who starts with a checkpoint may have learnt the pictures that it is to judge; None if it has not.

    Args:
        record: of the checkpoint.
        dataset: all of whose pictures are judged.
    """
    if record.training.data_fingerprint == fingerprint(dataset.labels, dataset.train):
        return (
            "warning: the start was trained on these very pictures. It repeats the labels that it was told, so "
            "that many wrong ones are missed. Leave --start out, or take a checkpoint of other pictures."
        )
    if _is_stranger(record, dataset.labels):
        return None
    return (
        "warning: the start may have learnt some of these pictures, and would repeat the labels that it was told: "
        "it knows classes of these names, or grew from another checkpoint. That is no matter if it cannot have "
        "seen them: one from elsewhere, and photos of your own."
    )


def _is_stranger(record: Record, labels: Sequence[str]) -> bool:
    """Whether a training is taken to have seen none of the pictures: no class by its name, and no ancestors."""
    own = record.training.configuration
    grew = any(own.get(field) for field in ("start", "teachers", "teacher"))
    return not grew and set(record.labels).isdisjoint(labels)


def _trained_otherwise(record: Record, configuration: Mapping[str, Any], *, is_test_drawn: bool) -> list[str]:
    """Give the reasons for which anything here may be known: other data, another seed, a doubt handed on."""
    reasons = []
    learnt_others = _learnt_others(record, configuration)
    if learnt_others:
        reasons.append("other training pictures")
    is_draw = not holds_val_out(record) and configuration.get(HELD_OUT_PART) != VAL
    if record.training.seed != configuration["seed"] and (is_test_drawn or (is_draw and not learnt_others)):
        reasons.append(f"the seed {record.training.seed} instead of {configuration['seed']}")
    if record.training.configuration.get(DOUBTED) is True:
        reasons.append("a teacher or start of which the same was feared")
    return reasons


def _held_out_otherwise(record: Record, configuration: Mapping[str, Any], *, is_same_otherwise: bool) -> list[str]:
    """Give the reasons for which, of the same training pictures, those that are held out here may be known."""
    wanted, known = configuration["held_out"], held_out_count(record)
    if _learnt_others(record, configuration) or configuration.get(HELD_OUT_PART) == VAL:
        return []
    if holds_val_out(record):
        return [f"a val part held out instead of {wanted:,} of the training pictures"]
    reasons = []
    own, is_same_draw = record.training.configuration, known == wanted and is_same_otherwise
    if wanted and _hold_copies_otherwise(own, configuration, is_same_draw=is_same_draw):
        reasons.append("copies of one picture held out otherwise")
    together = configuration.get(COPIES_TOGETHER) is True
    if known < wanted or (wanted and together and known != wanted):
        reasons.append(f"{known:,} pictures held out instead of {wanted:,}")
    return reasons


def _learnt_others(record: Record, configuration: Mapping[str, Any]) -> bool:
    """Whether the earlier training learnt from other pictures."""
    return bool(record.training.data_fingerprint != configuration["data_fingerprint"])


def _hold_copies_otherwise(
    own: Mapping[str, Any], configuration: Mapping[str, Any], *, is_same_draw: bool
) -> bool:
    """Whether two trainings on the same pictures disagree about copies, or drew the same and hold out others."""
    if (own.get(COPIES_TOGETHER) is True) != (configuration.get(COPIES_TOGETHER) is True):
        return True
    fingerprints = {own.get(HELD_OUT_FINGERPRINT), configuration.get(HELD_OUT_FINGERPRINT)} - {None}
    return is_same_draw and len(fingerprints) > 1
