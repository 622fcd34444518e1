"""What was answered, counted at once and told later."""

import pytest
from prometheus_client import Histogram

from app.metrics import SCORES, Instruments
from app.predictions import Predictions
from models.prediction import Prediction
from tests.unit.app.test_metrics import labels, samples


def shown(metrics: Instruments) -> dict[str, float]:
    """Label → how many pictures a scrape shows."""
    found = samples(metrics.exposition())
    return {
        dict(key)["label"]: value for (name, key), value in found.items() if name == "glimpse_predictions_total"
    }


def test_what_was_answered_is_told_once() -> None:
    """Not before it is told; by label, and those apart that are not to be relied on."""
    metrics = Instruments()
    predictions = Predictions(metrics)
    for label, abstains in (("cat", False), ("dog", True), ("cat", True)):
        predictions.count(Prediction(label, 0, 0.8), abstains=abstains)
    assert shown(metrics) == {}
    for _ in range(2):
        predictions.tell()
        found = samples(metrics.exposition())
        assert shown(metrics) == {"cat": 2, "dog": 1}
        assert found["glimpse_abstained_total", labels()] == 2
        assert found["glimpse_best_score_count", labels()] == 3
    predictions.count(Prediction("dog", 1, 0.9), abstains=False)
    predictions.tell()
    found = samples(metrics.exposition())
    assert shown(metrics) == {"cat": 2, "dog": 2}
    assert (found["glimpse_abstained_total", labels()], found["glimpse_best_score_count", labels()]) == (2, 4)


def test_scores_fall_where_the_library_would_count_them() -> None:
    """In the buckets, at their bounds and above all of them, and in the sum."""
    scores = [0.0, *SCORES, *(bound + 0.001 for bound in SCORES), 0.42, 0.42]
    reference = Histogram("reference", "One by one.", buckets=SCORES, registry=None)
    metrics = Instruments()
    predictions = Predictions(metrics)
    for place, score in enumerate(scores):
        reference.observe(score)
        predictions.count(Prediction("cat", 0, score), abstains=False)
        if place % 5 == 0:
            predictions.tell()
    predictions.tell()
    found = samples(metrics.exposition())
    for family in reference.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                key = sample.name.replace("reference", "glimpse_best_score"), labels(**sample.labels)
                assert found[key] == pytest.approx(sample.value)
    assert found["glimpse_best_score_bucket", labels(le="0.5")] == 8


def test_a_scrape_has_no_more_labels_than_it_can_bear() -> None:
    """Those of the first 200 classes, whichever come first: all processes show the same, after a restart too."""
    metrics = Instruments()
    predictions = Predictions(metrics)
    for number in reversed(range(300)):
        for _ in range(2):
            predictions.count(Prediction(f"class {number}", number, 0.5), abstains=False)
        predictions.tell()
    found = shown(metrics)
    assert len(found) == 201
    assert found["other"] == 200
    assert {found[f"class {number}"] for number in range(200)} == {2}


def test_the_labels_of_a_new_model_are_shown() -> None:
    """Those of the old one keep no places."""
    metrics = Instruments()
    predictions = Predictions(metrics)
    for name in ("old", "new"):
        for number in range(200):
            predictions.count(Prediction(f"{name} {number}", number, 0.5), abstains=False)
        predictions.tell()
    assert shown(metrics)["new 199"] == 1
    assert "other" not in shown(metrics)


def test_what_fails_half_way_is_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics are files where there are several workers, and a disk may be full for a while."""
    metrics = Instruments()
    predictions = Predictions(metrics)
    predictions.count(Prediction("cat", 0, 0.5), abstains=True)
    with monkeypatch.context() as patched:
        patched.setattr(metrics.abstained, "inc", _full)
        with pytest.raises(OSError, match="full"):
            predictions.tell()
    predictions.tell()
    predictions.count(Prediction("dog", 1, 0.5), abstains=True)
    predictions.tell()
    assert shown(metrics) == {"cat": 1, "dog": 1}
    assert samples(metrics.exposition())["glimpse_abstained_total", labels()] == 1


def _full(_amount: float) -> None:
    raise OSError("The disk is full.")
