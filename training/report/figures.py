"""Diagrams as SVG that takes its colours from the page, so that they follow light and dark.

No text from outside ever reaches a figure: class names stand in the page, where they are escaped.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from models.metrics import ScoreBin
from training.measuring.reliability import CALIBRATION_BINS
from training.report.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED, _ACCENT, _SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
_COLOURS = {_INK: "--ink", _MUTED: "--line", _ACCENT: "--accent", _SECOND: "--second"}
"""Stand-ins that nobody sees: each becomes a variable of the page's style."""
_WIDTH, _HEIGHT = 5.6, 3.6  # inches; 403 units, so that text of 10 is 8 to 10 pixels at the width of a phone
_FEW = 20  # answers in a bin, of which the accuracy is known to ±0.2 only; its bar is pale
_MOST_POINTS = 600  # of a line; more cannot be told apart at this width


def draw_reliability(bins: Sequence[ScoreBin]) -> str:
    """Draw accuracy against score, bin by bin, over how many answers each bin holds."""

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        width = 0.92 / CALIBRATION_BINS
        for each in bins:
            alpha = 1.0 if each.n >= _FEW else 0.35
            upper.bar(each.lower, each.accuracy, width, align="edge", color=_ACCENT, alpha=alpha)
        upper.plot([0, 1], [0, 1], color=_INK, linestyle=(0, (4, 3)), linewidth=1)
        points = [b.score for b in bins], [b.accuracy for b in bins]
        upper.plot(*points, "o", color=_INK, markersize=3, clip_on=False)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        lower.bar([b.lower for b in bins], [b.n for b in bins], width, align="edge", color=_SECOND)
        lower.set(xlabel="score of the answer", ylabel="answers")

    return _svg(draw, "Reliability: accuracy against score", name="reliability", height=4.4)


def draw_coverage(curve: Tensor) -> str:
    """Draw the accuracy of the most confident share of the answers.

    Args:
        curve: float (n,), accuracy of the k most confident, k from 1.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        n = len(curve)
        # the first hundredth is a few pictures, whose accuracy jumps
        places = _thin(range(max(1, n // 100), n + 1))
        shares = [100 * k / n for k in places], [100 * float(curve[k - 1]) for k in places]
        axes.plot(*shares, color=_ACCENT, lw=2, clip_on=False)
        axes.set(xlabel="answered, % of the pictures", ylabel="right, % of the answers", xlim=(0, 100))
        _end_with_shares(axes, whole=100)

    return _svg(draw, "Coverage against accuracy", name="coverage")


def draw_history(history: History) -> str:
    """Draw loss, accuracy on held-out pictures if some were asked, and learning rate over the steps of a run."""

    def draw(figure: "Figure") -> None:
        heights = (2, 2, 1) if history.held_out else (2, 1)
        upper, *middle, lower = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        places = _thin(range(len(history.steps)))
        steps = [history.steps[place] for place in places]
        upper.plot(steps, [history.losses[place] for place in places], color=_ACCENT, lw=1.5)
        upper.set(ylabel="loss per picture")
        for axes in middle:
            epochs = [history.held_out[place] for place in _thin(range(len(history.held_out)))]
            axes.plot(*zip(*epochs, strict=True), color=_ACCENT, lw=1.5, marker=".", clip_on=False)
            axes.set(ylabel="held out: right")
            _end_with_shares(axes, whole=1)
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        lower.plot(steps, [history.rates[place] for place in places], color=_SECOND, lw=1.5)
        lower.set(xlabel="step", ylabel="learning rate")
        lower.set_ylim(bottom=0)

    lines = "Loss, accuracy on held-out pictures, and" if history.held_out else "Loss and"
    title = f"{lines} learning rate over the steps"
    return _svg(draw, title, name="history", height=6.2 if history.held_out else 4.4)


def _end_with_shares(axes: "Axes", *, whole: float) -> None:
    """End the upright axis of shares at nothing and at the whole, where the margin around a line would go on."""
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(0, lowest), min(whole, highest))


def _thin(places: range) -> Sequence[int]:
    """Keep some evenly, first and last among them."""
    if len(places) <= _MOST_POINTS:
        return places
    return [places[round(i * (len(places) - 1) / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _svg(draw: Callable[["Figure"], None], title: str, *, name: str, height: float = _HEIGHT) -> str:
    """Draw a figure and make it a part of the page: its size and its colours are the page's business.

    Args:
        draw: puts the content into an empty figure.
        title: for those who do not see it.
        name: of the figure, different for each on a page.
        height: in inches.
    """
    # 0.5 s of import that only the report needs; the object interface needs no display
    import matplotlib as mpl  # noqa: PLC0415 - see above
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - see above
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10}):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            _plain(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _inline(buffer.getvalue(), title)


def _plain(axes: "Axes") -> None:
    """Two thin axes, a light grid behind, no frame."""
    axes.set_facecolor("none")
    axes.grid(visible=True, color=_MUTED, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(colors=_INK, length=0, pad=5)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)


def _inline(text: str, title: str) -> str:
    """Cut the picture out of the file: no notes, no fixed size, colours and letters of the page."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    text = re.sub(r"<svg[^>]*>", f'<svg role="img" aria-label="{title}" {box[0]}>', text, count=1)
    text = re.sub(r'<g id="patch_1">.*?</g>', "", text, count=1, flags=re.DOTALL)  # the white sheet behind it all
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would reach the whole page
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every figure, and nothing refers to them
    text = re.sub(r"font-family: [^;]*;", "", text)
    for stand_in, variable in _COLOURS.items():
        text = text.replace(stand_in, f"var({variable})")
    return text
