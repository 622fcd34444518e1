"""What was found in a data set before anything is trained on it: counts, copies, leaks, contradictions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.files import write_atomically
from training.data.duplicates import Copies
from training.data.picture_cache import Unreadable

FILE_NAME = "data.json"
"""Of the findings in a run's folder."""
FEW_PICTURES = 20
"""To learn a class from; fewer are warned of. Source: choice; 100 a class gave 97 to 100 % on drawn pictures."""
UNEVEN = 10
"""Times the smallest class's pictures, from which the largest one is warned of. Source: choice."""
PARTS = ("train", "val", "test")
"""Of a data set: to learn from, to calibrate on, to measure on; few have a val part of their own."""
_NAMED_AT_MOST = 10
_FILES_IN_A_LINE = 4
_KINDS = {"equal": "equal pictures", "near": "pictures that look alike"}
"""Of groups, in the order in which they are told."""
_SHARED = {
    ("train", "test"): "what is measured on was also learnt",
    ("train", "val"): "what val holds was also learnt",
    ("val", "test"): "what is measured on was also calibrated on",
}
"""Two parts → what comes of copies in both of them, the worst first."""


@dataclass(frozen=True)
class Group:
    """Copies of one picture.

    Attributes:
        kind: `equal`, or `near` where some of them only look alike.
        files: their names.
        labels: their classes, in the order of the files.
        parts: each one of `PARTS`, in the order of the files.
    """

    kind: str
    files: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def is_leak(self) -> bool:
        """Whether what is measured on was also learnt."""
        return self.lies_in("train", "test")

    @property
    def is_contradiction(self) -> bool:
        """Whether one picture has two labels."""
        return len(set(self.labels)) > 1

    @property
    def worst(self) -> str | None:
        """The fault under which it is named: a wrong label spoils what is learnt and what is measured."""
        if self.is_contradiction:
            return "contradiction"
        return next((" and ".join(pair) for pair in _SHARED if self.lies_in(*pair)), None)

    def lies_in(self, *parts: str) -> bool:
        """Whether each of some parts holds a copy."""
        return set(parts) <= set(self.parts)


@dataclass(frozen=True)
class Findings:
    """All that a data set was looked at for.

    Attributes:
        name: of the data set.
        counts: label → pictures of each part: `train`, `test` and, where there is one, `val`.
        unreadable: files that are left out.
        copies: groups of pictures that are equal or look alike; a picture may be in one group of each kind.
        scenes: files that look alike and are too many to be copies (`training.data.duplicates.Copies`).
    """

    name: str
    counts: Mapping[str, Mapping[str, int]]
    unreadable: tuple[Unreadable, ...]
    copies: tuple[Group, ...]
    scenes: tuple[tuple[str, ...], ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Of `PARTS` those that there are."""
        return tuple(part for part in PARTS if any(part in counts for counts in self.counts.values()))

    @property
    def first_of_copies(self) -> dict[str, str]:
        """File → the one that stands for all of its copies; files without copies are not in it."""
        return {file: group.files[0] for group in self.copies for file in group.files}  # near ones last

    @property
    def few(self) -> dict[str, int]:
        """Classes with fewer than 20 pictures to learn from, with how many they have."""
        return {label: parts["train"] for label, parts in self.counts.items() if parts["train"] < FEW_PICTURES}

    @property
    def uneven(self) -> tuple[str, str] | None:
        """The largest and the smallest class, if the one has ten times the pictures of the other to learn from."""
        return uneven({label: parts["train"] for label, parts in self.counts.items()})

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Classes without a picture to measure on."""
        return tuple(label for label, parts in self.counts.items() if not parts["test"])


def uneven(counts: Mapping[str, int]) -> tuple[str, str] | None:
    """Name the largest and the smallest class, if the one has ten times the pictures of the other.

    Args:
        counts: label → pictures to learn from; classes without any are passed over.
    """
    some = {label: count for label, count in counts.items() if count}
    if not some:
        return None
    largest, smallest = max(some, key=some.__getitem__), min(some, key=some.__getitem__)
    return (largest, smallest) if some[largest] >= UNEVEN * some[smallest] else None


def uneven_lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Warn of classes of so unequal size that the accuracy hides the small ones; see `uneven`."""
    if (pair := uneven(counts)) is not None:
        largest, smallest = pair
        yield (
            f"warning: the class {largest!r} has {counts[largest]:,} pictures to learn from, and {smallest!r} has "
            f"{counts[smallest]:,}: small classes are recognised worse, and the accuracy hardly shows it. Look at "
            f"the mean of the classes, too, and add pictures of {smallest!r}"
        )


def collect(
    name: str,
    labels: Sequence[str],
    *,
    files: Sequence[str],
    targets: npt.NDArray[np.int64],
    part_of: npt.NDArray[np.str_],
    copies: Copies,
    unreadable: Sequence[Unreadable] = (),
) -> Findings:
    """Put together what is known of n pictures.

    Args:
        name: of the data set.
        labels: words for the targets.
        files: n names.
        targets: int64 (n,).
        part_of: (n,), the part of each, one of `PARTS`.
        copies: among them.
        unreadable: files beside them.
    """

    def group(kind: str, places: tuple[int, ...]) -> Group:
        return Group(
            kind=kind,
            files=tuple(files[place] for place in places),
            labels=tuple(labels[targets[place]] for place in places),
            parts=tuple(str(part_of[place]) for place in places),
        )

    counts = {part: np.bincount(targets[part_of == part], minlength=len(labels)).tolist() for part in PARTS}
    if not any(counts["val"]):
        del counts["val"]
    return Findings(
        name=name,
        counts={
            label: {part: of_part[place] for part, of_part in counts.items()} for place, label in enumerate(labels)
        },
        unreadable=tuple(unreadable),
        copies=(
            *(group("equal", places) for places in copies.exact),
            *(group("near", places) for places in copies.near),
        ),
        scenes=tuple(tuple(files[place] for place in places) for places in copies.scenes),
    )


def to_lines(findings: Findings) -> Iterator[str]:
    """Tell the findings in words, line by line; what is wrong begins with "warning:"."""
    total = {part: sum(counts[part] for counts in findings.counts.values()) for part in findings.parts}
    learnt = f"{findings.name}: {total['train']:,} pictures to learn from"
    calibrated = f"{total['val']:,} to calibrate on, " if "val" in total else ""
    yield f"{learnt}, {calibrated}{total['test']:,} to measure on"
    width = max(map(len, findings.counts))
    for label, counts in findings.counts.items():
        yield f"  {label:<{width}}  " + " ".join(f"{counts[part]:>7,}" for part in findings.parts)
    yield from _few_lines(findings.few)
    yield from uneven_lines({label: parts["train"] for label, parts in findings.counts.items()})
    for label in findings.unmeasured:
        yield f"warning: the class {label!r} has no picture to measure on; its accuracy will be unknown"
    if findings.unreadable:
        yield f"warning: {_count(len(findings.unreadable), 'file')} left out, no readable picture"
        yield from _named([f"{item.file}: {item.reason}" for item in findings.unreadable])
    for kind, noun in _KINDS.items():
        if of_kind := [group for group in findings.copies if group.kind == kind]:
            named = [_in_a_line(group) for group in of_kind if group.worst is None]
            warned_of = (
                f", {len(of_kind) - len(named):,} of them warned of below" if len(named) < len(of_kind) else ""
            )
            yield f"{_count(len(of_kind), 'group')} of {noun}{warned_of}"
            yield from _named(named)
    for files in findings.scenes[:_NAMED_AT_MOST]:
        yield (
            f"warning: {_count(len(files), 'picture')} look alike, {files[0]} and {files[1]} for instance; they "
            "are taken for pictures of one scene. If they are copies, what is measured on was also learnt"
        )
    if len(findings.scenes) > _NAMED_AT_MOST:
        yield f"warning: so do those of {len(findings.scenes) - _NAMED_AT_MOST:,} more scenes"
    for pair, consequence in _SHARED.items():
        shared = [group for group in findings.copies if group.lies_in(*pair)]
        fault = " and ".join(pair)
        where = f"each in {fault if 'val' in findings.parts else 'both parts'}"
        yield from _warnings(shared, fault, where, consequence)
    contradictions = [group for group in findings.copies if group.is_contradiction]
    yield from _warnings(contradictions, "contradiction", "each in several classes", "labels are wrong")


def _warnings(groups: Sequence[Group], fault: str, where: str, consequence: str) -> Iterator[str]:
    """Warn of groups with a fault, and name those of which it is the worst; what looks alike need be no copy."""
    for kind, noun in _KINDS.items():
        if of_kind := [group for group in groups if group.kind == kind]:
            told = consequence if kind == "equal" else f"if they are copies, {consequence}"
            yield f"warning: {_count(len(of_kind), 'group')} of {noun}, {where}: {told}"
            yield from _named([_in_a_line(group) for group in of_kind if group.worst == fault])


def _few_lines(few: Mapping[str, int]) -> Iterator[str]:
    """Warn of each class with few pictures, or of all in a line where there are many."""
    if len(few) <= _NAMED_AT_MOST:
        better = f"{FEW_PICTURES} or more are better"
        for label, count in few.items():
            yield f"warning: the class {label!r} has {count} pictures to learn from; {better}"
        return
    label = min(few, key=few.__getitem__)
    yield (
        f"warning: {len(few):,} classes have fewer than {FEW_PICTURES} pictures to learn from, {label!r} the "
        f"fewest with {few[label]}; more are better"
    )


def to_json(findings: Findings) -> str:
    """Write the findings as one JSON object, everything named."""
    fields = asdict(findings)
    for group, written in zip(findings.copies, fields["copies"], strict=True):
        written |= {"is_leak": group.is_leak, "is_contradiction": group.is_contradiction}
    fields |= {"few": findings.few, "uneven": findings.uneven, "unmeasured": findings.unmeasured}
    return json.dumps(fields, indent=1)


def write(findings: Findings, folder: Path) -> Path:
    """Write `data.json` into a run's folder."""
    path = folder / FILE_NAME
    write_atomically(path, to_json(findings).encode())
    return path


def changed_counts(findings: Findings, folder: Path) -> list[str]:
    """Tell what a data set has become since a run's `data.json` was written; nothing where there is none to read.

    Args:
        findings: of the data as they are.
        folder: of the run.

    Returns:
        A clause for each class with more or fewer pictures to learn from; a single one where it must be other
        pictures, since all classes have as many.
    """
    try:
        counts = json.loads((folder / FILE_NAME).read_text("utf-8"))["counts"]
        then = {str(label): int(parts["train"]) for label, parts in counts.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    now = {label: parts["train"] for label, parts in findings.counts.items()}
    return [
        f"{label!r} has {_count(now.get(label, 0), 'picture')} to learn from and had {then.get(label, 0):,}"
        for label in [*then, *(label for label in now if label not in then)]
        if now.get(label, 0) != then.get(label, 0)
    ] or [
        "each class has as many pictures to learn from as before: some are others or were edited, or this version "
        "divides or sizes them otherwise"
    ]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _named(lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:_NAMED_AT_MOST]:
        yield f"  {line}"
    if len(lines) > _NAMED_AT_MOST:
        yield f"  and {len(lines) - _NAMED_AT_MOST:,} more"


def _in_a_line(group: Group) -> str:
    sign = " = " if group.kind == "equal" else " ~ "
    chosen = _to_name(group)
    is_divided = len(set(group.parts)) > 1
    files = [f"{group.files[at]} ({group.parts[at]})" if is_divided else group.files[at] for at in chosen]
    more = len(group.files) - len(chosen)
    return sign.join(files) + (f" and {more:,} more" if more else "")


def _to_name(group: Group) -> list[int]:
    """Choose the places of a few files: one of each class in each part first, since these are warned of."""
    kinds = list(zip(group.labels, group.parts, strict=True))
    first = dict.fromkeys(kinds.index(kind) for kind in dict.fromkeys(kinds))
    rest = (place for place in range(len(kinds)) if place not in first)
    return sorted([*first, *rest][:_FILES_IN_A_LINE])
