"""What stands on the axes of a diagram."""

import re

import torch

from training.measuring.reliability import score_bins
from training.report.figures import draw_coverage, draw_history, draw_reliability
from training.report.history import History


def _numbers(svg: str) -> list[float]:
    """The ticks."""
    texts = [text.replace("\N{MINUS SIGN}", "-") for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    return [float(text.removesuffix(" %")) for text in texts if re.fullmatch(r"-?[0-9.]+( %)?", text)]


def test_no_axis_of_shares_goes_beyond_the_whole() -> None:
    """Where all are right no tick stands above 100, and where none is, none below 0."""
    for right in (0.0, 1.0):
        ticks = _numbers(draw_coverage(torch.full((40,), right)))
        assert max(ticks) == 100
        assert min(ticks) == 0
    bins = score_bins(torch.tensor([[1.0, 0.0]] * 30), torch.zeros(30, dtype=torch.int64))
    assert _numbers(draw_reliability(bins)).count(1) == 2  # at the end of both axes


def test_the_curve_of_held_out_pictures_ends_at_the_whole() -> None:
    """Of a network that knows them all from the first epoch on."""
    history = History(
        steps=[1, 2],
        losses=[0.5, 0.25],
        rates=[1.0, 0.5],
        pictures_per_s=[1.0, 1.0],
        held_out=[(1, 1.0), (2, 1.0)],
    )
    svg = draw_history(history)
    assert "100 %" in svg
    assert not re.search(r"10[1-9](\.\d+)? %", svg)
