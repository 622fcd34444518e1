"""Pieces of HTML. Every text that goes in is escaped here, wherever it came from."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from PIL import Image
from torch import Tensor

_LARGEST_SIDE = 96  # pixels of a picture on the page; larger ones are shrunk, since a page holds dozens


def text(value: object) -> str:
    """Write a value as text that cannot be taken for markup."""
    return escape(str(value), quote=True)


def percent(share: float, digits: int = 2) -> str:
    """Write a share of 1 as a percentage, with a space that does not break."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def paragraph(sentence: str, *, soft: bool = False) -> str:
    """Write a sentence of plain text."""
    return f'<p class="soft">{text(sentence)}</p>' if soft else f"<p>{text(sentence)}</p>"


def section(name: str, title: str, *parts: str) -> str:
    """Put parts that are HTML already under a heading."""
    return f'<section id="{name}"><h2>{text(title)}</h2>{"".join(parts)}</section>'


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Write large numbers with small words below them: (number, words)."""
    inner = "".join(
        f'<div class="card"><b>{text(number)}</b><span>{text(words)}</span></div>' for number, words in facts
    )
    return f'<div class="cards">{inner}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, full: bool = False) -> str:
    """Write a table, in a box that the keyboard can scroll where the screen is too narrow.

    Args:
        head: words over the columns.
        rows: cells; the first of a row is plain text and names it, the others come from `cell`, `heat` or `bar`.
        full: as wide as the page.
    """
    top = "".join(f'<th scope="col">{text(word)}</th>' for word in head)
    body = "".join(f'<tr><th scope="row">{text(first)}</th>{"".join(others)}</tr>' for first, *others in rows)
    shape = ' class="full"' if full else ""
    inner = f"<table{shape}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="group" aria-label="Table">{inner}</div>'


def cell(value: object) -> str:
    """Write an ordinary cell."""
    return f"<td>{text(value)}</td>"


def heat(value: object, part: float, *, is_bad: bool = False) -> str:
    """Write a cell that is the darker, the nearer `part` is to 1; in red for what is bad."""
    return f'<td class="{"ache" if is_bad else "heat"}" style="--part:{part:.3f}">{text(value)}</td>'


def bar(part: float, low: float, high: float) -> str:
    """Draw a share as a bar, with its interval over the end."""
    return f'<td class="bar"><i style="--part:{part:.4f};--low:{low:.4f};--high:{high:.4f}"></i></td>'


def facts(values: Mapping[str, object]) -> str:
    """Write names and values below each other."""
    rows = "".join(f"<dt>{text(name)}</dt><dd><code>{text(value)}</code></dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def figure(svg: str) -> str:
    """Place a diagram of `training.report.figures`."""
    return f"<figure>{svg}</figure>"


def pictures(images: Iterable[Tensor], captions: Iterable[Sequence[tuple[str, str]]], *, shape: float) -> str:
    """Show pictures with a few lines below each.

    Args:
        images: uint8 (height, width, 3).
        captions: for each picture its lines: (class in the style, or "", and words).
        shape: width / height.
    """
    items = []
    for image, lines in zip(images, captions, strict=True):
        words = "<br>".join(f'<span class="{style}">{text(line)}</span>' for style, line in lines)
        described = text(", ".join(line for _, line in lines))
        items.append(f'<li><img alt="{described}" src="{_address(image)}">{words}</li>')
    return f'<ul class="grid" style="--shape:{shape:.4f}">{"".join(items)}</ul>'


def _address(image: Tensor) -> str:
    """Put a picture into its own address, so that the page needs no other file."""
    picture = Image.fromarray(image.contiguous().numpy())
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
