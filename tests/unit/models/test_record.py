"""The JSON text about a model, written and read back."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from models.calibration import Calibration
from models.errors import FormatVersionError, GoldenError, RecordError
from models.metrics import Coverage, ScoreBin
from models.networks import Architecture
from models.preprocessing import InputSpec
from models.record import FORMAT_VERSION, GoldenConditions, Record, from_text, to_text

DIGEST = "0123456789abcdef" * 4
FIELDS = (
    "name",
    "architecture",
    "labels",
    "input",
    "calibration",
    "metrics",
    "training",
    "created_at",
    "golden",
    "tensors_sha256",
)


BIN = {"lower": 0.6, "upper": 0.7, "n": 3, "score": 0.65, "accuracy": 0.5}
POINT = {"coverage": 0.5, "n": 1, "accuracy": 1.0, "score": 0.9}
RELIABILITY: dict[str, object] = {
    "negative_log_likelihood": 0.3,
    "brier": 0.1,
    "expected_calibration_error": 0.02,
    "adaptive_calibration_error": 0.02,
}
BOTH = {"before": RELIABILITY, "after": RELIABILITY}
HELD_OUT = {
    "n": 500,
    "reliability": {"single_view": BOTH, "six_views": BOTH},
    "accepted": 0.95,
    "accuracy_of_accepted": 0.9,
}


def _held_out(**wrong: object) -> dict[str, object]:
    return {**HELD_OUT, "reliability": {"single_view": BOTH, "six_views": {**BOTH, "after": RELIABILITY | wrong}}}


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"inner": value}
    return value


def _text(record: Record) -> str:
    return to_text(record, tensors_sha256=DIGEST)


def _changed(record: Record, change: Callable[[dict[str, Any]], object]) -> str:
    fields = json.loads(_text(record))
    change(fields)
    return json.dumps(fields)


def test_what_was_written_is_read_back(record: Record) -> None:
    """Record, digest and the conditions of the golden answers come back equal."""
    assert from_text(_text(record)) == (record, DIGEST, GoldenConditions.of(record))


def test_a_full_record_is_read_back(record: Record) -> None:
    """Values other than the defaults, None and letters beyond ASCII survive too."""
    full = dataclasses.replace(
        record,
        name="größe 猫 🙂",
        architecture=Architecture("fast", {"widths": [8, 16, 24]}),
        calibration=Calibration(temperature=1.75, abstain_threshold=0.4),
        input=dataclasses.replace(record.input, height=24, interpolation="lanczos", mean=(0.1, 0.2, 0.3)),
        metrics=dataclasses.replace(
            record.metrics,
            per_class={"red": 0.1 + 0.2, "green": None, "blue": 0.0},
            reliability_bins=(ScoreBin(lower=0.6, upper=0.7, n=3, score=0.65, accuracy=2 / 3),),
            coverage=(Coverage(coverage=0.5, n=1, accuracy=1.0, score=0.9),),
        ),
    )
    assert from_text(_text(full))[0] == full


def test_the_text_is_ascii_and_always_the_same(record: Record) -> None:
    """Equal records give equal bytes, readable with any encoding."""
    odd = dataclasses.replace(record, name="größe")
    assert _text(odd) == _text(dataclasses.replace(odd))
    assert _text(odd).isascii()


def test_the_text_starts_with_its_version(record: Record) -> None:
    """Whoever opens the file sees the format version first, and then every field of the design."""
    fields = json.loads(_text(record))
    assert next(iter(fields.items())) == ("format_version", FORMAT_VERSION) == ("format_version", 1)
    assert set(fields) == {"format_version", *FIELDS}


def test_a_number_that_json_does_not_know_is_not_written(record: Record) -> None:
    """NaN in the configuration stops the writing: other programs could not read the text."""
    training = dataclasses.replace(record.training, configuration={"lr": float("nan")})
    with pytest.raises(RecordError, match=r"holds a number that is NaN or infinite.*Measure again"):
        _text(dataclasses.replace(record, training=training))


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_format_version_is_refused(record: Record, version: object) -> None:
    """Any version but ours is refused, and both are named."""
    text = _changed(record, lambda fields: fields.update(format_version=version))
    with pytest.raises(FormatVersionError, match=r"has format version .*; this Glimpse reads version 1"):
        from_text(text)


def test_the_version_is_looked_at_before_anything_else(record: Record) -> None:
    """A later version may lack fields of this one; it is still called by its real fault."""
    with pytest.raises(FormatVersionError, match="has format version 7"):
        from_text('{"format_version": 7}')


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "{}"])
def test_json_that_is_no_record_has_no_version(text: str) -> None:
    """A list, a number or an empty object is refused for having no version."""
    with pytest.raises(FormatVersionError, match="has format version None"):
        from_text(text)


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(record: Record, field: str) -> None:
    """Each field is needed, and the message says which one is not there."""
    text = _changed(record, lambda fields: fields.pop(field))
    with pytest.raises(RecordError, match=f"has no field '{field}'"):
        from_text(text)


@pytest.mark.parametrize(
    ("section", "field"),
    [("input", "mean"), ("input", "std"), ("metrics", "confusion_matrix"), ("golden", "labels")],
)
def test_a_missing_field_of_a_section_is_named(record: Record, section: str, field: str) -> None:
    """Lists are turned into tuples one by one, and a missing one is named."""
    text = _changed(record, lambda fields: fields[section].pop(field))
    with pytest.raises(RecordError, match=f"has no field '{field}'"):
        from_text(text)


@pytest.mark.parametrize(
    ("section", "field"),
    [("architecture", "name"), ("metrics", "n"), ("metrics", "accuracy"), ("training", "seed")],
)
def test_a_section_without_a_value_it_needs_is_refused(record: Record, section: str, field: str) -> None:
    """A section that cannot be made names the value that it lacks."""
    text = _changed(record, lambda fields: fields[section].pop(field))
    with pytest.raises(RecordError, match=f"makes no sense: .*'{field}'"):
        from_text(text)


@pytest.mark.parametrize("field", ["name", "created_at"])
@pytest.mark.parametrize("value", [5, None, ["a"]])
def test_a_field_that_is_no_text_is_refused(record: Record, field: str, value: object) -> None:
    """It is not made into one: the service would call itself None."""
    text = _changed(record, lambda fields: fields.update({field: value}))
    with pytest.raises(RecordError, match=rf"makes no sense: {field} is .*; a text is needed"):
        from_text(text)


@pytest.mark.parametrize("section", ["architecture", "input", "calibration", "metrics", "training"])
def test_an_unknown_value_in_a_section_is_refused(record: Record, section: str) -> None:
    """A value that this version does not know is not dropped silently."""
    text = _changed(record, lambda fields: fields[section].update(surprise=1))
    with pytest.raises(RecordError, match=r"makes no sense: .*'surprise'"):
        from_text(text)


@pytest.mark.parametrize("section", ["input", "calibration", "metrics", "training", "golden"])
@pytest.mark.parametrize("value", [None, 3, "text", [1, 2]])
def test_a_section_of_another_kind_is_refused(record: Record, section: str, value: object) -> None:
    """A section that is no JSON object is a record error, whatever it is instead."""
    text = _changed(record, lambda fields: fields.update({section: value}))
    with pytest.raises(RecordError, match="makes no sense"):
        from_text(text)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([], "at least one, each a text, is needed"),
        (["red", ""], "at least one, each a text, is needed"),
        (["red", 3], "at least one, each a text, is needed"),
        ([None], "at least one, each a text, is needed"),
        (["red", "green", "red"], "a label stands twice"),
        (None, "makes no sense"),
    ],
)
def test_labels_that_name_nothing_are_refused(record: Record, labels: object, sentence: str) -> None:
    """Labels are one or more different texts."""
    text = _changed(record, lambda fields: fields.update(labels=labels))
    with pytest.raises(RecordError, match=sentence):
        from_text(text)


@pytest.mark.parametrize(
    ("section", "field", "value", "sentence"),
    [
        ("calibration", "temperature", 0, "temperature is 0; it must be finite and above 0"),
        ("calibration", "temperature", -1.5, "temperature is -1.5; it must be finite and above 0"),
        ("calibration", "temperature", "1", "temperature is '1'; it must be finite"),
        ("calibration", "temperature", None, "temperature is None; it must be finite"),
        ("calibration", "temperature", True, "temperature is True; it must be finite"),
        ("calibration", "temperature", 10**400, "temperature is 1000*; it must be finite"),
        ("calibration", "six_views_temperature", [1], r"temperature is \[1\]; it must be finite"),
        ("calibration", "floor", "0", "floor is '0'; it must be from 0 to below 1"),
        ("calibration", "six_views_floor", -0.1, "floor is -0.1; it must be from 0 to below 1"),
        ("calibration", "abstain_threshold", "0.5", "threshold is '0.5'; it must be within 0…1"),
        ("calibration", "distance_threshold", "2", "distance threshold is '2'; it must be finite"),
        ("calibration", "held_out", {**HELD_OUT, "n": "500"}, "of '500' pictures; a whole number"),
        ("calibration", "held_out", {**HELD_OUT, "accepted": "1"}, "share is '1'; it must be within"),
        ("calibration", "held_out", {**HELD_OUT, "accuracy_of_accepted": "1"}, "accuracy_of_accepted is '1'"),
        ("calibration", "held_out", {**HELD_OUT, "accuracy_of_accepted": 1.1}, "accuracy_of_accepted is 1.1"),
        ("calibration", "held_out", _held_out(brier="0.1"), "brier is '0.1'; a finite number from 0"),
        ("calibration", "held_out", _held_out(negative_log_likelihood=-1), "likelihood is -1; a finite number"),
        ("calibration", "held_out", _held_out(expected_calibration_error=None), "error is None; a finite number"),
        ("calibration", "abstain_threshold", 1.5, "threshold is 1.5; it must be within 0…1"),
        ("calibration", "abstain_threshold", -0.1, "threshold is -0.1; it must be within 0…1"),
        ("input", "resize", "squeeze", "resize rule is 'squeeze'"),
        ("input", "interpolation", "nearest", "interpolation is 'nearest'"),
        ("input", "height", 0, "both must be whole numbers from 1"),
        ("input", "width", "32", "both must be whole numbers from 1"),
        ("input", "height", 32.0, "both must be whole numbers from 1"),
        ("metrics", "n", None, "of None pictures"),
        ("metrics", "n", "10000", "of '10000' pictures"),
        ("metrics", "n", True, "of True pictures"),
        ("metrics", "split", 3, "split is 3; a text is needed"),
        ("metrics", "accuracy", {"single_view": "0.9", "six_views": 0.9}, "two fractions"),
        ("metrics", "accuracy", {"single_view": True, "six_views": 0.9}, "two fractions"),
        ("metrics", "accuracy", ["single_view", "six_views"], "accuracy is .*; values with their names"),
        ("metrics", "per_class", {"red": "0.9"}, "accuracy of 'red' is '0.9'; a number within 0…1"),
        ("metrics", "per_class", {"red": 0.9, "green": 1.5}, "accuracy of 'green' is 1.5; a number within 0…1"),
        ("metrics", "per_class", ["red"], r"per_class is \['red'\]; values with their names"),
        ("metrics", "confusion_matrix", [["1"]], "the confusion matrix is .*; as many rows as columns"),
        (
            "metrics",
            "confusion_matrix",
            [[1, 2], [3, -1]],
            "as many rows as columns",
        ),
        (
            "metrics",
            "confusion_matrix",
            [[1, 2.0], [3, 1]],
            "as many rows as columns",
        ),
        ("metrics", "confusion_matrix", [[1, 2], [3]], "as many rows as columns"),
        ("metrics", "confusion_matrix", "ab", "as many rows as columns"),
        ("metrics", "expected_calibration_error", "0.1", "error is '0.1'; a number within 0…1"),
        ("metrics", "expected_calibration_error", None, "error is None; a number within 0…1"),
        ("metrics", "accepted", "0.9", "accepted is '0.9'; a number within 0…1"),
        ("metrics", "accuracy_of_accepted", -0.5, "accuracy_of_accepted is -0.5; a number within 0…1"),
        ("training", "recipe", None, "recipe is None; a text is needed"),
        ("training", "hardware", ["a", "b"], r"hardware is \['a', 'b'\]; a text is needed"),
        ("training", "seed", "0", "seed is '0'; a whole number from 0"),
        ("training", "seed", 1.5, "seed is 1.5; a whole number from 0"),
        ("training", "seed", -1, "seed is -1; a whole number from 0"),
        ("training", "seconds", "12", "seconds is '12'; a finite number from 0"),
        ("training", "seconds", -1.0, "seconds is -1.0; a finite number from 0"),
        ("training", "seconds", 10**400, "seconds is 1000.*; a finite number from 0"),
        ("training", "configuration", "fast", "configuration is 'fast'; values with their names"),
        ("training", "configuration", _nested(101), "configuration has more than 100 levels"),
        # from Python 3.13 on so many can be read
        ("training", "configuration", _nested(900), "(recursion|more than 100 levels)"),
        ("metrics", "accuracy", {"single_view": 1.2, "six_views": 0.5}, "two fractions"),
        ("input", "std", [0.2, 0, 0.2], "each must be above 0"),
        ("input", "mean", [0.5], "three finite numbers"),
        ("input", "mean", None, "not iterable"),
        ("metrics", "confusion_matrix", 3, "not iterable"),
        ("metrics", "reliability_bins", [{**BIN, "score": "x"}], "score is 'x'; a number within 0…1"),
        ("metrics", "reliability_bins", [{**BIN, "accuracy": 7}], "accuracy is 7; a number within 0…1"),
        ("metrics", "reliability_bins", [{**BIN, "upper": True}], "upper is True; a number within 0…1"),
        ("metrics", "reliability_bins", [{**BIN, "n": -3}], "n is -3; a whole number from 1"),
        ("metrics", "reliability_bins", [{**BIN, "upper": 0.6}], "from 0.6 to 0.6; up is needed"),
        ("metrics", "reliability_bins", [{}], "missing"),
        ("metrics", "reliability_bins", 3, "not iterable"),
        ("metrics", "coverage", [{**POINT, "coverage": 1.2}], "coverage is 1.2; a number within 0…1"),
        ("metrics", "coverage", [{**POINT, "n": 1.0}], "n is 1.0; a whole number from 1"),
        ("metrics", "coverage", [None], "must be a mapping"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    record: Record, section: str, field: str, value: object, sentence: str
) -> None:
    """The text may be intact and still ask for something impossible."""
    text = _changed(record, lambda fields: fields[section].update({field: value}))
    with pytest.raises(RecordError, match=f"makes no sense: .*{sentence}"):
        from_text(text)


@pytest.mark.parametrize("text", ["", "{", "not json", '{"format_version": 1,}', "{'format_version': 1}", "\x00"])
def test_a_text_that_is_not_json_is_refused(text: str) -> None:
    """The message says that it is not JSON, and where."""
    with pytest.raises(RecordError, match=r"is not JSON .*line 1 column"):
        from_text(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="nested"),
        pytest.param(
            '{"format_version": ' + "1" * 5000 + "}",
            id="digits",
        ),
    ],
)
def test_json_that_python_refuses_to_read_is_refused(text: str) -> None:
    """Nesting and numbers beyond Python's limits are the file's fault, not a crash."""
    with pytest.raises(RecordError, match="is not JSON"):
        from_text(text)


def test_labels_that_are_one_text_are_refused(record: Record) -> None:
    """The labels "abc" are not the three labels a, b and c."""
    text = _changed(record, lambda fields: fields.update(labels="abc"))
    with pytest.raises(RecordError, match="labels"):
        from_text(text)


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"temperature": -1.0}, {"temperature": float("inf")}])
def test_a_temperature_that_turns_the_ranking_around_is_refused(fields: dict[str, Any]) -> None:
    """A calibration is checked when it is made, not only when it is read."""
    with pytest.raises(ValueError, match="must be finite and above 0"):
        Calibration(**fields)


def test_nan_in_the_text_is_refused(record: Record) -> None:
    """Python would read NaN as a number; JSON has none."""
    text = _text(record).replace('"seconds": 0.0', '"seconds": NaN')
    with pytest.raises(RecordError, match="NaN is no JSON number"):
        from_text(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": ("green", "red", "blue")}, r"The labels changed .* now \('green', .* then \('red'"),
        (
            {"input": InputSpec(mean=(0.5, 0.5, 0.6), std=(0.5, 0.5, 0.5))},
            r"input's mean .* now \(0.5, 0.5, 0.6\)",
        ),
        ({"input": InputSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.6))}, "input's std"),
        ({"input": InputSpec(height=48, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))}, "input's height .* now 48"),
        ({"calibration": Calibration(temperature=2.0)}, "temperature changed .* now 2.0, then 1.0"),
    ],
)
def test_a_record_that_left_its_golden_conditions_is_refused(
    record: Record, change: dict[str, Any], sentence: str
) -> None:
    """Labels, input and temperature must be those that the golden answers were stored under."""
    conditions = GoldenConditions.of(record)
    conditions.check(record)
    with pytest.raises(GoldenError, match=sentence):
        conditions.check(dataclasses.replace(record, **change))


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_is_read_as_infinity_is_refused(record: Record, number: str) -> None:
    """JSON has no infinity, but Python reads one from many digits."""
    text = _text(record).replace('"lr": 0.001', f'"lr": {number}')
    with pytest.raises(RecordError, match=f"{number} is too large for a number"):
        from_text(text)


def test_text_that_is_no_unicode_becomes_some(record: Record) -> None:
    """As older versions wrote it of a file whose name is bytes: what tells others of it would fail for ever."""
    odd = "caf\udce9"

    def change(fields: dict[str, Any]) -> None:
        fields.update(name=odd, labels=[odd, "green", "blue"])
        fields["metrics"].update(split=odd, per_class={odd: 1.0})
        fields["training"].update(hardware=odd, configuration={odd: [odd, {"start": odd}]})

    found, _, _ = from_text(_changed(record, change))
    assert (found.name, found.labels[0], found.metrics.split) == ("caf?", "caf?", "caf?")
    assert found.metrics.per_class == {"caf?": 1.0}
    assert found.training.hardware == "caf?"
    assert found.training.configuration == {"caf?": ["caf?", {"start": "caf?"}]}


def test_labels_that_are_told_alike_are_refused(record: Record) -> None:
    """Two names of bytes that both end as the same question mark would be one."""
    text = _changed(record, lambda fields: fields.update(labels=["a\udce9", "a\udce8", "b"]))
    with pytest.raises(RecordError, match="a label stands twice"):
        from_text(text)


def test_names_that_differ_only_in_what_is_no_unicode_are_not_merged(record: Record) -> None:
    """One of their values would be lost without a word."""
    odd = dict.fromkeys(("a\udce9", "a\udce8"), 1)
    text = _changed(record, lambda fields: fields["training"].update(configuration=odd))
    with pytest.raises(RecordError, match="differ in nothing but what is no Unicode"):
        from_text(text)
