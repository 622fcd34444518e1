"""Pieces of HTML: whatever text goes in comes out as text."""

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from training.report import html

HOSTILE = "<script>alert('1')</script>\" onload=\"x & $\\alpha$"


def test_every_piece_escapes_its_text() -> None:
    """No piece lets a tag or the end of an attribute through."""
    image = torch.zeros((4, 4, 3), dtype=torch.uint8)
    pieces = (
        html.paragraph(HOSTILE),
        html.section("name", HOSTILE),
        html.cards([(HOSTILE, HOSTILE)]),
        html.table([HOSTILE], [(HOSTILE, html.cell(HOSTILE), html.heat(HOSTILE, 0.5))]),
        html.facts({HOSTILE: HOSTILE}),
        html.pictures([image], [[("", HOSTILE)]], shape=1.0),
    )
    for piece in pieces:
        assert "<script" not in piece
        assert '" onload' not in piece
        assert "&lt;script&gt;" in piece


def test_pictures_travel_in_the_page() -> None:
    """A small picture keeps its pixels; a large one is shrunk, since a page holds dozens."""
    small = torch.arange(5 * 7 * 3, dtype=torch.uint8).view(5, 7, 3)
    large = torch.zeros((300, 150, 3), dtype=torch.uint8)
    piece = html.pictures([small, large], [[("", "a")], [("", "b")]], shape=1.0)
    stored = [base64.b64decode(text) for text in re.findall(r"data:image/png;base64,([^\"]+)", piece)]
    first, second = (Image.open(io.BytesIO(data)) for data in stored)
    assert np.array_equal(np.asarray(first), small.numpy())
    assert second.size == (48, 96)


def test_a_wide_table_is_scrolled_by_the_keyboard() -> None:
    """The box around a table takes the focus, and has a name for who cannot see it."""
    piece = html.table(["", "right"], [("cat", html.cell(1))])
    assert piece.startswith('<div class="wide" tabindex="0" role="group" aria-label="Table"><table>')


def test_percentages_do_not_break() -> None:
    """Number and sign stay on one line."""
    assert html.percent(0.93345) == "93.34\N{NO-BREAK SPACE}%"
    assert html.percent(1, 0) == "100\N{NO-BREAK SPACE}%"
