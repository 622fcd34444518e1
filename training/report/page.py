"""The page itself: what stands on it, and in which order."""

import dataclasses
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL
import torch

from models.files import write_atomically
from models.views import shows_mirror_images
from training.configuration import flatten
from training.measuring.intervals import interval
from training.report import figures, html, sections
from training.report.content import Content
from training.report.history import History

FILE = "report.html"
_STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Told to the browser: the page fetches nothing and runs nothing, whatever a class may be called."""


def write_page(content: Content, folder: Path) -> Path:
    """Write `report.html` into a folder, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / FILE
    # a name that is no Unicode text is shown with a question mark rather than refused
    write_atomically(path, page(content).encode("utf-8", "replace"))
    return path


def page(content: Content) -> str:
    """Put the page together."""
    name, style = content.checkpoint.record.name, _STYLE.read_text("utf-8")
    every = (
        ("classes", "Class by class", sections.classes),
        ("confusion", "What is taken for what", sections.confusion),
        ("calibration", "Do the scores tell the truth?", sections.calibration),
        ("coverage", "Answering only when sure", sections.coverage),
        ("spoilt", "Spoilt pictures", sections.spoilt),
        ("mistakes", "Mistakes and near misses", sections.mistakes),
        ("run", "The run", _run),
        ("recipe", "Recipe and environment", _recipe),
    )
    found = [(key, title, parts) for key, title, write in every if (parts := write(content))]
    links = "".join(f'<a href="#{key}">{html.text(title)}</a>' for key, title, _ in found)
    bodies = "".join(html.section(key, title, *parts) for key, title, parts in found)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.text(name)} · report</title><style>{style}</style></head><body><main>"
        f"<header>{_head(content)}<nav>{links}</nav></header>{bodies}"
        f"<footer>{_foot(content)}</footer></main></body></html>\n"
    )


def _head(content: Content) -> str:
    metrics, record = content.metrics, content.checkpoint.record
    single = interval(round(metrics.accuracy["single_view"] * metrics.n), metrics.n)
    six = interval(round(metrics.accuracy["six_views"] * metrics.n), metrics.n)
    numbers = [
        (html.percent(single.share), f"right, single view; 95 % interval {sections.span(single)}"),
        (html.percent(six.share), f"right, six views; 95 % interval {sections.span(six)}"),
        (html.percent(metrics.expected_calibration_error), "expected calibration error, single view"),
    ]
    if content.without_copies is not None:
        others = content.without_copies
        which = "neither equal nor look like a learnt one" if others.has_alike else "equal no learnt one"
        right = html.percent(others.accuracy["single_view"]) if others.n else "unknown"
        numbers.insert(1, (right, f"right, single view, of the {others.n:,} pictures that {which}"))
    if content.robustness is not None:
        spoilt = content.robustness
        numbers.append((html.percent(spoilt.mean), f"right on spoilt copies of {spoilt.n:,} pictures"))
    weights = sum(parameter.numel() for parameter in content.checkpoint.network.parameters())
    numbers.append((f"{weights:,}", f"parameters, network {record.architecture.name}"))
    copies = "shifted and mirrored" if shows_mirror_images(record.training.configuration) else "shifted"
    sentence = (
        f"Measured on {metrics.split}: {metrics.n:,} pictures of {len(record.labels)} classes. Single view is "
        f"what the service answers; six views average a picture with {copies} copies of itself."
    )
    return f"<h1>{html.text(record.name)}</h1>{html.paragraph(sentence, soft=True)}{html.cards(numbers)}"


def _run(content: Content) -> tuple[str, ...]:
    history = content.history
    if history is None:
        return ()
    rate = sorted(history.pictures_per_s)[len(history.pictures_per_s) // 2]
    lowest = min(history.losses)
    return (
        html.paragraph(
            f"{history.steps[-1]:,} steps; the loss went from {history.losses[0]:.3f} to "
            f"{history.losses[-1]:.3f}, lowest {lowest:.3f}; {rate:,.0f} pictures/s, median of the lines. The "
            "learning rate is a share of its highest." + _held_out(history)
        ),
        html.figure(figures.draw_history(history)),
    )


def _held_out(history: History) -> str:
    if not history.held_out:
        return ""
    last, best = (
        html.percent(accuracy, 1)
        for accuracy in (history.held_out[-1][1], max(accuracy for _, accuracy in history.held_out))
    )
    return (
        f" Of held-out pictures {last} were named rightly after the last epoch, {best} "
        "after the best. Where that falls while the loss does too, the network learns its pictures by heart; "
        "where it still rises, more epochs will help."
    )


def _recipe(content: Content) -> tuple[str, ...]:
    record = content.checkpoint.record
    run = record.training
    origin = {
        "recipe": run.recipe,
        "seed": run.seed,
        "training": f"{run.seconds:,.0f} s on {run.hardware}",
        "torch": run.torch,
        "commit": run.commit,
        "data fingerprint": run.data_fingerprint,
        "written": record.created_at,
        "digest": content.checkpoint.digest,
    }
    return (
        html.facts(origin),
        "<h3>Every number of the recipe</h3>",
        html.facts(_plain_fields(run.configuration)),
        "<h3>Network, input and calibration</h3>",
        html.facts(
            _plain_fields(
                {
                    "network": {"name": record.architecture.name, **record.architecture.arguments},
                    "input": dataclasses.asdict(record.input),
                    "calibration": dataclasses.asdict(record.calibration),
                }
            )
        ),
        "<h3>Measured with</h3>",
        html.facts(
            {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "pillow": PIL.__version__,
                "threads": torch.get_num_threads(),
                "system": f"{platform.system()} {platform.machine()}",
            }
        ),
    )


def _plain_fields(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain(value) for name, value in flatten(fields)}


def _plain(value: object) -> object:
    """Write a list for people: its parts, and in each of these numbers, or fields that say something."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {field}" for name, field in value.items() if field is not None)
    if isinstance(value, list | tuple):
        has_parts = any(isinstance(one, list | tuple | Mapping) for one in value)
        return ("; " if has_parts else ", ").join(str(_plain(one)) for one in value) or "none"
    return value


def _foot(content: Content) -> str:
    return html.text(f"Written {content.created_at} by Glimpse. The page needs no other file.")
