"""What a checkpoint says about its model: the JSON text beside the tensors."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self

from models.calibration import Calibration, HeldOut
from models.errors import FormatVersionError, GoldenError, RecordError
from models.metrics import Coverage, Metrics, ScoreBin
from models.networks import Architecture
from models.preprocessing import InputSpec
from models.values import require_amounts, require_counts, require_tables, require_texts

FORMAT_VERSION = 1

_ADVICE = "Train the checkpoint again, or fetch a good copy."
_MOST_LEVELS = 100
"""Of a recipe there are four; the service can tell of 250."""
_INPUT_FIELDS = tuple(field.name for field in dataclasses.fields(InputSpec))


@dataclass(frozen=True)
class TrainingRun:
    """Where the weights come from, so that the run can be repeated.

    Attributes:
        recipe: its name.
        configuration: every number of the recipe as it was used.
        seed: of initialisation, order and augmentation.
        data_fingerprint: SHA-256 of training pictures and labels.
        commit: of the code, or "unknown".
        torch: its version.
        hardware: processor or accelerator, in words.
        seconds: training alone, without reading data and final evaluation.
    """

    recipe: str
    configuration: Mapping[str, Any]
    seed: int
    data_fingerprint: str
    commit: str
    torch: str
    hardware: str
    seconds: float

    def __post_init__(self) -> None:
        """Refuse what no run is.

        Raises:
            ValueError: a text or the configuration is something else, the seed no whole number from 0, the time no
                finite number from 0.
        """
        require_texts(self, "recipe", "data_fingerprint", "commit", "torch", "hardware")
        require_counts(self, "seed", least=0)
        require_amounts(self, "seconds")
        require_tables(self, "configuration")
        if _levels(self.configuration) > _MOST_LEVELS:
            raise ValueError(f"the configuration has more than {_MOST_LEVELS} levels of lists and tables")


@dataclass(frozen=True)
class Record:
    """Everything about a model but its numbers.

    Attributes:
        name: what the service calls the model.
        architecture: network and arguments.
        labels: in the order of the network's outputs.
        input: what a picture must become first.
        calibration: how to read the logits.
        metrics: measured on the test part.
        training: the run that made it.
        created_at: ISO 8601, UTC.
    """

    name: str
    architecture: Architecture
    labels: tuple[str, ...]
    input: InputSpec
    calibration: Calibration
    metrics: Metrics
    training: TrainingRun
    created_at: str


@dataclass(frozen=True)
class GoldenConditions:
    """What the golden answers were given under; a loaded record must still say the same.

    A digest shows that a text was edited. This shows it even where the digest was made anew, and says what.

    Attributes:
        labels: names of the columns of the answers.
        input: mean and deviation among it.
        temperature: of the logits.
    """

    labels: tuple[str, ...]
    input: InputSpec
    temperature: float

    @classmethod
    def of(cls, record: Record) -> Self:
        """Take them from a record."""
        return cls(record.labels, record.input, record.calibration.temperature)

    def check(self, record: Record) -> None:
        """Compare with a record.

        Raises:
            GoldenError: it names what differs, what it is and what it was.
        """
        now = GoldenConditions.of(record)
        for name, is_, was in (
            ("labels", now.labels, self.labels),
            *(
                (f"input's {field}", getattr(now.input, field), getattr(self.input, field))
                for field in _INPUT_FIELDS
            ),
            ("temperature", now.temperature, self.temperature),
        ):
            if is_ != was:
                raise GoldenError(
                    f"The {name} changed since the golden answers were stored: now {is_}, then {was}. "
                    "Restore the original file; never edit the text of a trained checkpoint."
                )


def to_text(record: Record, *, tensors_sha256: str) -> str:
    """Write the record as JSON, with the digest of the tensors and the conditions of the golden answers.

    Raises:
        RecordError: a number in it is NaN or infinite.
    """
    fields = {
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(record),
        "golden": dataclasses.asdict(GoldenConditions.of(record)),
        "tensors_sha256": tensors_sha256,
    }
    try:
        return json.dumps(fields, indent=1, ensure_ascii=True, allow_nan=False)
    except ValueError as error:
        raise RecordError(
            f"The record holds a number that is NaN or infinite ({error}). Measure again."
        ) from error


def from_text(text: str) -> tuple[Record, str, GoldenConditions]:
    """Read the JSON text back.

    Returns:
        The record, the digest of the tensors, the conditions of the golden answers.

    Raises:
        FormatVersionError: another format version.
        RecordError: not JSON, a field is missing, or a value makes no sense.
    """
    try:
        fields = _parse(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The text about the model is not JSON ({error}). {_ADVICE}") from error
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if type(version) is not int or version != FORMAT_VERSION:
        raise FormatVersionError(
            f"The checkpoint has format version {version!r}; this Glimpse reads version {FORMAT_VERSION}. "
            "Use the Glimpse that wrote it, or train it again with this one."
        )
    try:
        golden = fields["golden"]
        conditions = GoldenConditions(_labels(golden["labels"]), _input(golden["input"]), golden["temperature"])
        return _record(fields), str(fields["tensors_sha256"]), conditions
    except KeyError as error:
        raise RecordError(f"The text about the model has no field {error}. {_ADVICE}") from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise RecordError(f"The text about the model makes no sense: {error}. {_ADVICE}") from error


def _parse(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Read JSON whose numbers are finite; what is no Unicode in its texts becomes a question mark.

    The name of a file need not be Unicode, and versions before this one wrote some: to tell others of such a text
    would fail for ever.
    """
    fields = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    if text.isascii() and "\\ud" not in text.lower():  # nowhere half a character; of 3,000 classes that spares 1 s
        return fields
    replaced = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace").decode()
    return json.loads(replaced, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError(f"two of {list(fields)} differ in nothing but what is no Unicode")
    return fields


def _levels(value: object) -> int:
    """How deep lists and tables lie in each other; 0 for a value alone."""
    if not isinstance(value, Mapping | list | tuple):
        return 0
    inner: Iterable[object] = value.values() if isinstance(value, Mapping) else value
    return 1 + max(map(_levels, inner), default=0)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return number


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(label, str) and label for label in value):
        raise ValueError(f"the labels are {value!r}; a list of at least one, each a text, is needed")
    if len(set(value)) != len(value):
        raise ValueError(f"a label stands twice in {value}")
    return tuple(value)


def _words(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; a text is needed")
    return value


def _input(fields: dict[str, Any]) -> InputSpec:
    return InputSpec(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})


def _calibration(fields: dict[str, Any]) -> Calibration:
    held_out = fields.get("held_out")
    return Calibration(**{**fields, "held_out": None if held_out is None else HeldOut.from_fields(held_out)})


def _record(fields: dict[str, Any]) -> Record:
    architecture = Architecture(**fields["architecture"])
    if not isinstance(architecture.name, str) or not isinstance(architecture.arguments, dict):
        raise TypeError(f"the architecture is {fields['architecture']}; a name and named arguments are needed")
    metrics = dict(fields["metrics"])
    metrics["confusion_matrix"] = tuple(tuple(row) for row in metrics["confusion_matrix"])
    for name, kind in (("reliability_bins", ScoreBin), ("coverage", Coverage)):
        if metrics.get(name) is not None:
            metrics[name] = tuple(kind(**each) for each in metrics[name])
    return Record(
        name=_words("name", fields["name"]),
        architecture=architecture,
        labels=_labels(fields["labels"]),
        input=_input(fields["input"]),
        calibration=_calibration(fields["calibration"]),
        metrics=Metrics(**metrics),
        training=TrainingRun(**fields["training"]),
        created_at=_words("created_at", fields["created_at"]),
    )
