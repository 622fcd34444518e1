"""The page as a whole: everything on it, nothing from outside, and nothing that a name can break."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

from models.calibration import BeforeAndAfter, HeldOut, Reliability
from models.checkpoint import Checkpoint, load, save
from models.record import Record
from training.data.dataset import Split
from training.evaluate import ViewProbabilities, WithoutCopies, measure
from training.measuring.calibration import reliability_by_view
from training.measuring.corruptions import KINDS
from training.measuring.label_mistakes import LabelMistake
from training.measuring.robustness import Robustness
from training.report.content import Content
from training.report.history import History
from training.report.page import page, write_page

HOSTILE = ("</td><script>alert(1)</script>", '" onerror="alert(2)', "$\\frac$ & <b>")


class _Tags(HTMLParser):
    """Collects tags and attributes, and checks that tags close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parse(text: str) -> _Tags:
    tags = _Tags()
    tags.feed(text)
    tags.close()
    assert not tags.open
    return tags


@pytest.fixture
def hostile(tmp_path: Path, network: nn.Module, record: Record) -> Checkpoint:
    """A checkpoint whose name and labels try to leave the page."""
    path = tmp_path / "hostile.safetensors"
    save(path, network, dataclasses.replace(record, name="<i>x</i>", labels=HOSTILE))
    return load(path)


def _content(
    checkpoint: Checkpoint, *, right: bool = False, threshold: float | None = None, farthest: float | None = None
) -> Content:
    record = checkpoint.record
    calibration = dataclasses.replace(record.calibration, abstain_threshold=threshold, distance_threshold=farthest)
    checkpoint = dataclasses.replace(checkpoint, record=dataclasses.replace(record, calibration=calibration))
    generator = torch.Generator().manual_seed(0)
    probabilities = (2 * torch.randn(60, 3, generator=generator)).softmax(1)
    guesses = probabilities.argmax(1)
    targets = guesses if right else torch.randint(0, 2, (60,), generator=generator)  # class 2 has no picture
    split = Split(torch.randint(0, 256, (60, 32, 32, 3), generator=generator, dtype=torch.uint8), targets)
    distances = None if farthest is None else torch.arange(60.0)
    other = (probabilities.log() / 2).softmax(1)
    views = ViewProbabilities(probabilities, other, distances, (other, probabilities))
    return Content(
        checkpoint=checkpoint,
        split=split,
        views=views,
        metrics=measure(views, split, labels=record.labels, name="made <test>", calibration=calibration),
        label_mistakes=[LabelMistake("<script>file</script>.jpg", record.labels[1], 0.01, record.labels[0], 0.97)],
        robustness=Robustness(60, 7, 0.5, dict.fromkeys(KINDS, (0.5, 0.4, 0.3, 0.2, 0.1)), 0.3),
        history=History([1, 10, 20], [2.3, 1.9, 1.7], [1.0, 0.5, 0.0], [90.0, 100.0, 110.0]),
        created_at="2026-01-01T00:00:00+00:00",
    )


def test_hostile_names_stay_text(hostile: Checkpoint) -> None:
    """Class names and the model's name are shown as they are: no tag, no attribute of theirs comes to life."""
    text = page(_content(hostile))
    tags = _parse(text)
    assert "script" not in {tag for tag, _ in tags.found}
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
    assert "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "made &lt;test&gt;" in text
    assert "&lt;script&gt;file&lt;/script&gt;.jpg" in text


def test_the_page_needs_nothing_from_outside(hostile: Checkpoint) -> None:
    """No address but pictures in the page and places on it; the browser is told to fetch and run nothing."""
    text = page(_content(hostile))
    assert "http:" not in text
    assert "https:" not in text
    tags = _parse(text)
    addresses = [
        value or ""
        for _, attributes in tags.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert addresses
    assert {address.partition("base64,")[0][:22] for address in addresses if address[0] != "#"} == {
        "data:image/png;"
    }
    (policy,) = [a["content"] for tag, a in tags.found if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_place_and_link_fits(hostile: Checkpoint) -> None:
    """Each id stands once, and each reference, also inside the diagrams, has its target."""
    text = page(_content(hostile))
    tags = _parse(text)
    names = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(names) == len(set(names))
    wanted = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted <= set(names)


def test_numbers_stand_as_text(hostile: Checkpoint) -> None:
    """Accuracy with interval, classes without pictures, bins, coverage, spoilt copies, curves, recipe, digest."""
    content = _content(hostile)
    text = page(content).replace("\N{NO-BREAK SPACE}", " ")
    for expected in (
        f"{100 * content.metrics.accuracy['single_view']:.2f} %",
        "95 % interval",
        "no pictures",
        "Mean score",
        "Score from",
        "gaussian noise",
        "20 steps; the loss went from 2.300 to 1.700",
        "100 pictures/s",
        "<dt>lr</dt><dd><code>0.001</code></dd>",
        content.checkpoint.digest,
        "no abstain threshold",
    ):
        assert expected in text
    assert text.count('<div class="card">') == 5


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([[0.0, 0.2], [1.0, 0.0]], "0.0, 0.2; 1.0, 0.0"),
        ([{"lr": 0.1, "rests_after": None}, {"lr": 2}], "lr 0.1; lr 2"),
        ([64, 128], "64, 128"),
        ([], "none"),
        (0.5, "0.5"),
    ],
)
def test_lists_of_the_recipe_are_for_people(hostile: Checkpoint, value: object, shown: str) -> None:
    """Pairs stay pairs, and fields without a value say nothing."""
    training = dataclasses.replace(hostile.record.training, configuration={"field": value})
    checkpoint = dataclasses.replace(hostile, record=dataclasses.replace(hostile.record, training=training))
    assert f"<dt>field</dt><dd><code>{shown}</code></dd>" in page(
        dataclasses.replace(_content(hostile), checkpoint=checkpoint)
    )


def test_what_was_not_measured_is_left_out(hostile: Checkpoint) -> None:
    """Without a run and without spoilt copies there are no such sections, nor links to them."""
    content = dataclasses.replace(_content(hostile), robustness=None, history=None)
    text = page(content)
    assert 'id="spoilt"' not in text
    assert "#spoilt" not in text
    assert 'id="run"' not in text


def test_pictures_may_be_left_out(hostile: Checkpoint) -> None:
    """Of data that may not be passed on: neither the section, nor a link to it, nor a picture of the split."""
    content = _content(hostile)
    assert 'id="mistakes"' in page(content)
    without = page(dataclasses.replace(content, shows_pictures=False))
    assert 'id="mistakes"' not in without
    assert "#mistakes" not in without
    assert without.count("data:image/png") < page(content).count("data:image/png")


def test_labels_that_may_be_wrong_are_listed(hostile: Checkpoint) -> None:
    """Files stand with both labels and their shares; none is a sentence; an archive's pictures are no files."""
    content = _content(hostile)
    text = page(content).replace("\N{NO-BREAK SPACE}", " ")
    for expected in ("Labels that may be wrong", ">&lt;script&gt;file&lt;/script&gt;.jpg<", "1.0 %", "97.0 %"):
        assert expected in text
    assert "No label looks wrong." in page(dataclasses.replace(content, label_mistakes=[]))
    assert "Labels that may be wrong" not in page(dataclasses.replace(content, label_mistakes=None))


def test_a_perfect_classifier_has_no_mistakes(hostile: Checkpoint) -> None:
    """Nothing to show is said in a sentence."""
    text = page(_content(hostile, right=True))
    assert text.count("There is no mistake.") == 2


@pytest.mark.parametrize(
    ("threshold", "farthest", "told"),
    [
        (0.0, None, "abstains below a score of 0.000: it answers 100.00 % of these pictures"),
        (1.0, None, "abstains below a score of 1.000: it answers 0.00 % of these pictures"),
        (
            0.0,
            14.0,
            "0.000 or beyond a distance of 14.000 from all classes: it answers 25.00 % of these pictures",
        ),
    ],
)
def test_the_rule_to_abstain_is_told(
    hostile: Checkpoint, threshold: float, farthest: float | None, told: str
) -> None:
    """What both thresholds let through is counted on these pictures, also where it is none."""
    text = page(_content(hostile, threshold=threshold, farthest=farthest)).replace("\N{NO-BREAK SPACE}", " ")
    assert told in text


def test_the_share_that_the_rule_was_chosen_for_is_told(hostile: Checkpoint) -> None:
    """What it lets through of the pictures that it was fitted on, beside what it does of these."""
    content = _content(hostile, threshold=0.4)
    record = content.checkpoint.record
    both = BeforeAndAfter(Reliability(1, 1, 0.2, 0.2), Reliability(0.5, 0.5, 0.1, 0.1))
    held_out = HeldOut(2_000, {"single_view": both, "six_views": both}, 0.8005, 0.99)
    fitted = dataclasses.replace(record, calibration=dataclasses.replace(record.calibration, held_out=held_out))
    text = page(
        dataclasses.replace(content, checkpoint=dataclasses.replace(content.checkpoint, record=fitted))
    ).replace("\N{NO-BREAK SPACE}", " ")
    assert "Of the 2,000 held-out pictures that it was fitted on it answers 80.05 %." in text


def test_the_mean_of_the_classes_is_told(hostile: Checkpoint) -> None:
    """Of the two that have pictures."""
    content = _content(hostile)
    (one, two) = (accuracy for accuracy in content.metrics.per_class.values() if accuracy is not None)
    text = page(content).replace("\N{NO-BREAK SPACE}", " ")
    assert f"The mean of the classes is {100 * (one + two) / 2:.2f} % (balanced accuracy)" in text


def test_what_the_calibration_changed_is_told_of_both_views(hostile: Checkpoint) -> None:
    """Four figures, before and after: of the single view and, the other way round here, of six views."""
    content = _content(hostile)
    text = page(content).replace("\N{NO-BREAK SPACE}", " ")
    both = reliability_by_view(content.views.before_and_after, content.split.targets)["single_view"]
    for name, words, digits in (
        ("expected_calibration_error", "Expected calibration error", None),
        ("adaptive_calibration_error", "Adaptive calibration error", None),
        ("negative_log_likelihood", "Negative log-likelihood", 4),
        ("brier", "Brier score", 4),
    ):
        before, after = (
            f"{value:.4f}" if digits else f"{100 * value:.2f} %"
            for value in (getattr(both.before, name), getattr(both.after, name))
        )
        assert before != after
        cells = "".join(f"<td>{value}</td>" for value in (before, after, after, before))
        assert f'<th scope="row">{words}</th>{cells}' in text


def test_the_area_under_the_risk_is_told(hostile: Checkpoint) -> None:
    """Nothing is wrong: it is zero."""
    assert "is 0.00000." in page(_content(hostile, right=True))


def test_what_is_right_without_learnt_pictures_stands_beside_the_whole(hostile: Checkpoint) -> None:
    """As a number at the top, where there are such pictures."""
    content, words = (
        _content(hostile),
        "right, single view, of the 1,050 pictures that neither equal nor look like",
    )
    assert words not in page(content)
    without = WithoutCopies(n=1_050, copies=7, accuracy={"single_view": 0.8124, "six_views": 0.9}, has_alike=True)
    text = page(dataclasses.replace(content, without_copies=without)).replace("\N{NO-BREAK SPACE}", " ")
    assert f"<b>81.24 %</b><span>{words} a learnt one</span>" in text
    equal = dataclasses.replace(without, has_alike=False)
    text = page(dataclasses.replace(content, without_copies=equal))
    assert "right, single view, of the 1,050 pictures that equal no learnt one</span>" in text
    nothing = dataclasses.replace(equal, n=0, accuracy={})
    text = page(dataclasses.replace(content, without_copies=nothing))
    assert "<b>unknown</b><span>right, single view, of the 0 pictures that equal no learnt one</span>" in text


def test_answers_of_the_same_score_share_what_is_right(hostile: Checkpoint) -> None:
    """Of two, one is right: of the half that is answered, which is one of them, it is half as well."""
    content = _content(hostile)
    split = Split(content.split.images[:2], torch.tensor([0, 1]))
    alike = torch.tensor([[0.8, 0.1, 0.1]] * 2)
    views = ViewProbabilities(alike, alike, None, (alike, alike))
    text = page(dataclasses.replace(content, split=split, views=views, robustness=None))
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    row = text.split("<h2>Answering only when sure</h2>")[1].split(">50 %<")[1].split("</tr>")[0]
    assert ">50.00 %<" in row


@pytest.mark.parametrize(
    ("held_out", "title"),
    [
        ([], "Loss and learning rate over the steps"),
        ([(10, 0.5), (20, 0.6)], "Loss, accuracy on held-out pictures, and learning rate over the steps"),
    ],
)
def test_the_curves_are_called_what_they_show(
    held_out: list[tuple[int, float]], title: str, hostile: Checkpoint
) -> None:
    """For those who do not see them: held-out pictures are spoken of where some were asked."""
    content = _content(hostile)
    assert content.history is not None
    history = dataclasses.replace(content.history, held_out=held_out)
    text = page(dataclasses.replace(content, history=history))
    assert f'aria-label="{title}"' in text
    assert ("60.0\N{NO-BREAK SPACE}% were named rightly after the last epoch, 60.0" in text) is bool(held_out)


def test_many_classes_are_listed_instead_of_drawn(hostile: Checkpoint) -> None:
    """A matrix of more than 20 classes is left out; the commonest confusions remain."""
    content = _content(hostile)
    labels = tuple(f"class {i}" for i in range(21))
    record = dataclasses.replace(content.checkpoint.record, labels=labels)
    matrix = tuple(tuple(9 if guess == truth else int(guess == 0) for guess in range(21)) for truth in range(21))
    metrics = dataclasses.replace(
        content.metrics, confusion_matrix=matrix, per_class=dict.fromkeys(labels, 0.9), n=21 * 10 - 1
    )
    content = dataclasses.replace(
        content, metrics=metrics, checkpoint=dataclasses.replace(content.checkpoint, record=record)
    )
    text = page(content)
    assert "Rows are the truth" not in text
    assert "The most frequent:" in text


def test_the_page_is_written_whole(hostile: Checkpoint, tmp_path: Path) -> None:
    """A new folder is made; a name with half a character is shown, not refused."""
    content = _content(hostile)
    record = dataclasses.replace(content.checkpoint.record, labels=("a\ud800", "b", "c"))
    content = dataclasses.replace(content, checkpoint=dataclasses.replace(content.checkpoint, record=record))
    path = write_page(content, tmp_path / "new")
    assert path.name == "report.html"
    assert path.read_text("utf-8").endswith("</html>\n")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
