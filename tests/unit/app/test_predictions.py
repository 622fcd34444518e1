"""What was answered, counted at once and told later."""

import pytest
from prometheus_client import Histogram

from app.metrics import SCORES, Metrics
from app.predictions import Predictions
from tests.unit.app.test_metrics import labels, samples


def shown(metrics: Metrics) -> dict[str, float]:
    """Label → how many pictures a scrape shows."""
    found = samples(metrics.exposition())
    return {
        dict(key)["label"]: value for (name, key), value in found.items() if name == "glimpse_predictions_total"
    }


def test_what_was_answered_is_told_once() -> None:
    """Not before it is told; by label, and those apart that are not to be relied on."""
    metrics = Metrics()
    predictions = Predictions(metrics)
    for label, abstains in (("cat", False), ("dog", True), ("cat", True)):
        predictions.count(label, 0.8, abstains=abstains)
    assert shown(metrics) == {}
    for _ in range(2):
        predictions.tell()
        found = samples(metrics.exposition())
        assert shown(metrics) == {"cat": 2, "dog": 1}
        assert found["glimpse_abstained_total", labels()] == 2
        assert found["glimpse_best_score_count", labels()] == 3
    predictions.count("dog", 0.9, abstains=False)
    predictions.tell()
    found = samples(metrics.exposition())
    assert shown(metrics) == {"cat": 2, "dog": 2}
    assert (found["glimpse_abstained_total", labels()], found["glimpse_best_score_count", labels()]) == (2, 4)


def test_scores_fall_where_the_library_would_count_them() -> None:
    """In the buckets, at their bounds and above all of them, and in the sum."""
    scores = [0.0, *SCORES, *(bound + 0.001 for bound in SCORES), 0.42, 0.42]
    reference = Histogram("reference", "One by one.", buckets=SCORES, registry=None)
    metrics = Metrics()
    predictions = Predictions(metrics)
    for place, score in enumerate(scores):
        reference.observe(score)
        predictions.count("cat", score, abstains=False)
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
    """The first 200 stay apart for good; all that come later are one, and none is lost."""
    metrics = Metrics()
    predictions = Predictions(metrics)
    for _ in range(2):
        for number in range(300):
            predictions.count(f"class {number}", 0.5, abstains=False)
        predictions.tell()
    found = shown(metrics)
    assert len(found) == 201
    assert found["other"] == 200
    assert {found[f"class {number}"] for number in range(200)} == {2}
