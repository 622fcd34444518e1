"""What the measurement found: each section of the page as its parts, none where there is nothing to tell."""

import math

from models.calibration import VIEWS
from training.evaluate import balanced_accuracy
from training.measuring.calibration import reliability_by_view
from training.measuring.corruptions import KINDS, SEVERITIES
from training.measuring.intervals import Interval, interval
from training.measuring.reliability import area_under_risk, coverage_at, coverage_curve, score_bins
from training.report import figures, html
from training.report.cases import Case, confident_mistakes, confusions, unsure_hits
from training.report.content import Content

_MOST_CASES = 24  # pictures in each gallery
_MOST_CONFUSIONS = 12
_RELIABILITY = {
    "expected_calibration_error": ("Expected calibration error", True),
    "adaptive_calibration_error": ("Adaptive calibration error", True),
    "negative_log_likelihood": ("Negative log-likelihood", False),
    "brier": ("Brier score", False),
}
_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
_MOST_COLUMNS = 20  # a confusion matrix of more classes is a picture that nobody reads


def classes(content: Content) -> tuple[str, ...]:
    """Write accuracy with its interval for each class."""
    rows: list[tuple[str, ...]] = []
    for label, counts, place in zip(
        content.checkpoint.record.labels,
        content.metrics.confusion_matrix,
        range(len(content.metrics.per_class)),
        strict=True,
    ):
        n, right = sum(counts), counts[place]
        if not n:
            rows.append((label, html.cell("no pictures"), html.cell("–"), html.cell("0"), html.bar(0, 0, 0)))
            continue
        found = interval(right, n)
        cells = (html.percent(found.share), span(found), f"{right:,} of {n:,}")
        rows.append((label, *map(html.cell, cells), html.bar(found.share, found.low, found.high)))
    return (
        html.paragraph(
            "Share of each class's pictures that got its label; the grey end is the 95 % interval. The mean of "
            f"the classes is {html.percent(balanced_accuracy(content.metrics))} (balanced accuracy): there each "
            "class counts alike, however few pictures it has."
        ),
        html.table(("Class", "Right", "95 % interval", "Pictures", ""), rows, full=True),
    )


def confusion(content: Content) -> tuple[str, ...]:
    """Write the matrix, where it can be read, and the commonest confusions."""
    labels, matrix = content.checkpoint.record.labels, content.metrics.confusion_matrix
    worst = confusions(matrix, most=_MOST_CONFUSIONS)
    listed = []
    for each in worst:
        share = html.percent(each.count / sum(matrix[each.truth]), 1)
        listed.append((labels[each.truth], *map(html.cell, (labels[each.guess], f"{each.count:,}", share))))
    left = ""
    if len(labels) <= _MOST_COLUMNS:
        words = "Rows are the truth, columns the answer; the stronger the colour, the larger the share of the row."
        left = f"<div>{html.paragraph(words)}{_matrix(content)}</div>"
    right = html.paragraph("There is no mistake.")
    if listed:
        right = html.paragraph("The most frequent:")
        right += html.table(("Truth", "Taken for", "Pictures", "Of the class"), listed)
    return (f'<div class="flow">{left}<div>{right}</div></div>',)


def _matrix(content: Content) -> str:
    labels = content.checkpoint.record.labels
    rows = []
    for truth, counts in enumerate(content.metrics.confusion_matrix):
        n = max(1, sum(counts))
        cells = []
        for guess, count in enumerate(counts):
            # mistakes are few in a hundred: the root makes them visible
            part = count / n if guess == truth else math.sqrt(count / n)
            cells.append(html.heat(f"{count:,}" if count else "·", part, is_bad=guess != truth))
        rows.append((labels[truth], *cells))
    return html.table(("", *labels), rows)


def calibration(content: Content) -> tuple[str, ...]:
    """Write how scores compare with accuracy."""
    bins = score_bins(content.probabilities, content.split.targets)
    rows = []
    for each in bins:
        numbers = (f"{each.n:,}", html.percent(each.score, 1), html.percent(each.accuracy, 1))
        gap = f"{100 * (each.accuracy - each.score):+.1f}"
        name = _range(f"{each.lower:.2f}", f"{each.upper:.2f}")
        rows.append((name, *map(html.cell, (*numbers, gap))))
    error = f"{100 * content.metrics.expected_calibration_error:.2f} points"
    calibration = content.checkpoint.record.calibration
    return (
        html.paragraph(
            f"Of the answers with a score of 0.8, eight in ten should be right. On average they miss by {error} "
            "(expected calibration error, 15 bins). On the dashed line score and accuracy agree; bars above it "
            "are answers better than they claim, pale bars hold fewer than 20. Temperature "
            f"{calibration.temperature:.4g}."
        ),
        '<div class="pair">',
        html.figure(figures.draw_reliability(bins)),
        html.table(("Score", "Answers", "Mean score", "Right", "Gap, points"), rows),
        "</div>",
        html.paragraph(
            "What the calibration changed: before is temperature 1 without a floor. The lower, the better. The "
            "service answers by the single view."
        ),
        _before_and_after(content),
    )


def _before_and_after(content: Content) -> str:
    reliability = reliability_by_view(content.views.before_and_after, content.split.targets)
    rows = []
    for name, (words, is_share) in _RELIABILITY.items():
        values = [
            getattr(when, name) for view in VIEWS for when in (reliability[view].before, reliability[view].after)
        ]
        rows.append((words, *(html.cell(html.percent(value) if is_share else f"{value:.4f}") for value in values)))
    head = (
        "",
        *(f"{view.replace('_', ' ').capitalize()}, {when}" for view in VIEWS for when in ("before", "after")),
    )
    return html.table(head, rows)


def coverage(content: Content) -> tuple[str, ...]:
    """Write what is right of the most confident answers."""
    points = coverage_at(_COVERAGES, content.probabilities, content.split.targets)
    rows = []
    for point in points:
        found = interval(round(point.accuracy * point.n), point.n)
        cells = (f"{point.score:.3f}", f"{point.n:,}", html.percent(point.accuracy), span(found))
        rows.append((html.percent(point.coverage, 0), *map(html.cell, cells)))
    rule, risk = _rule(content), area_under_risk(content.probabilities, content.split.targets)
    return (
        html.paragraph(
            f"Accuracy of the most confident answers, if the others are not given. {rule} The area under the "
            f"risk-coverage curve (AURC), which is the mean of what is wrong over all shares, is {risk:.5f}."
        ),
        '<div class="pair">',
        html.figure(figures.draw_coverage(coverage_curve(content.probabilities, content.split.targets))),
        html.table(("Answered", "Score from", "Pictures", "Right", "95 % interval"), rows),
        "</div>",
    )


def _rule(content: Content) -> str:
    """When the checkpoint abstains, and what that makes of these pictures."""
    calibration, metrics = content.checkpoint.record.calibration, content.metrics
    reasons = []
    if calibration.abstain_threshold is not None:
        reasons.append(f"below a score of {calibration.abstain_threshold:.3f}")
    if calibration.distance_threshold is not None:
        reasons.append(f"beyond a distance of {calibration.distance_threshold:.3f} from all classes")
    if not reasons or metrics.accepted is None:
        return "This checkpoint has no abstain threshold: it always answers."
    answered = f"answers {html.percent(metrics.accepted)} of these pictures by that rule"
    if metrics.accuracy_of_accepted is not None:
        answered += f", and {html.percent(metrics.accuracy_of_accepted)} of those answers are right"
    held_out = calibration.held_out
    chosen = (
        ""
        if held_out is None
        else f" Of the {held_out.n:,} held-out pictures that it was fitted on it answers "
        f"{html.percent(held_out.accepted)}."
    )
    return f"This checkpoint abstains {' or '.join(reasons)}: it {answered}.{chosen}"


def spoilt(content: Content) -> tuple[str, ...]:
    """Write the accuracy on spoilt copies; nothing where it was not measured."""
    robustness = content.robustness
    if robustness is None:
        return ()
    rows = []
    for kind, row in robustness.accuracy.items():
        mean = sum(row) / len(row)
        # darker is what was lost against the clean pictures
        lost = [max(0.0, robustness.clean - value) / max(robustness.clean, 1e-9) for value in (*row, mean)]
        cells = [
            html.heat(f"{100 * value:.1f}", part, is_bad=True)
            for value, part in zip((*row, mean), lost, strict=True)
        ]
        rows.append((kind.replace("_", " "), *cells, _levels(kind)))
    head = ("Accuracy, %", *(f"{severity}" for severity in SEVERITIES), "Mean", "Levels 1 to 5")
    return (
        html.paragraph(
            f"The same {robustness.n:,} pictures (seed {robustness.seed}), spoilt in every way and five "
            f"severities, single view. Clean they reach {html.percent(robustness.clean)}, spoilt "
            f"{html.percent(robustness.mean)} on average; the stronger the colour, the more is lost. The kinds "
            "and levels are Glimpse's own, not those of CIFAR-10-C."
        ),
        html.table(head, rows),
    )


def _levels(kind: str) -> str:
    levels = ", ".join(f"{level:g}" for level in KINDS[kind].levels)
    return f'<td class="soft">{html.text(f"{levels} · {KINDS[kind].meaning}")}</td>'


def mistakes(content: Content) -> tuple[str, ...]:
    """Show the worst mistakes and the nearest misses; nothing where pictures may not stand on the page."""
    if not content.shows_pictures:
        return ()
    targets = content.split.targets
    wrong = confident_mistakes(content.probabilities, targets, most=_MOST_CASES)
    close = unsure_hits(content.probabilities, targets, most=_MOST_CASES)
    return (
        "<h3>Most confident mistakes</h3>",
        html.paragraph(
            "Look here first: some of these are wrong labels, the rest is what was not learnt.", soft=True
        ),
        _gallery(content, wrong, style="bad") if wrong else html.paragraph("There is no mistake."),
        "<h3>Least confident hits</h3>",
        html.paragraph("Right, but only just.", soft=True),
        _gallery(content, close, style="good") if close else html.paragraph("Nothing was right."),
        _label_mistakes(content),
    )


def _label_mistakes(content: Content) -> str:
    """List files whose label is probably wrong; nothing where the pictures are no files."""
    mistakes = content.label_mistakes
    if mistakes is None:
        return ""
    rows = []
    for each in mistakes:
        given, likelier = html.percent(each.probability, 1), html.percent(each.likelier_probability, 1)
        rows.append((each.file, *map(html.cell, (each.label, given, each.likelier, likelier))))
    words = "The label that the file was given gets 20 % at most, another one half or more. Look at these files."
    head = ("File", "Label", "gets", "Likelier", "gets")
    return "<h3>Labels that may be wrong</h3>" + (
        html.paragraph(words, soft=True) + html.table(head, rows)
        if rows
        else html.paragraph("No label looks wrong.")
    )


def _gallery(content: Content, cases: list[Case], *, style: str) -> str:
    labels = content.checkpoint.record.labels
    captions = [
        [
            (style, f"{labels[case.guess]} {html.percent(case.score, 1)}"),
            *([("", f"is {labels[case.truth]}")] if case.guess != case.truth else []),
            ("soft", content.split.files[case.place] if content.split.files else f"picture {case.place:,}"),
        ]
        for case in cases
    ]
    height, width = content.split.images.shape[1:3]
    return html.pictures((content.split.images[case.place] for case in cases), captions, shape=width / height)


def span(found: Interval) -> str:
    """Write the bounds of an interval in percent."""
    return _range(f"{100 * found.low:.2f}", f"{100 * found.high:.2f}")


def _range(low: str, high: str) -> str:
    return f"{low}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{high}"
