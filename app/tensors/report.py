"""A run as text: Markdown for a document, lines for a terminal."""

import textwrap
from collections.abc import Iterable

from app.tensors.graphs import AutogradGraph
from app.tensors.lab import Demo, DemoRun
from app.tensors.runner import Step
from app.tensors.snapshots import describe

_WIDTH = 88


def to_markdown(runs: Iterable[DemoRun]) -> str:
    """Write runs as one Markdown document."""
    parts = ["# The tensor lab"]
    for run in runs:
        values = ", ".join(f"`{name} = {value}`" for name, value in run.parameters.items())
        parts += [f"## {run.title}", run.summary, f"With {values}; torch {run.torch}."]
        for step in run.steps:
            parts += _step_in_markdown(step)
    return "\n\n".join(parts) + "\n"


def _step_in_markdown(step: Step) -> list[str]:
    parts = [f"### {step.title}", step.explanation, f"```python\n{step.code}\n```", _time(step)]
    if step.output:
        parts.append(f"```text\n{step.output.rstrip()}\n```")
    if step.tensors:
        parts.append("\n".join(f"- {describe(tensor)}" for tensor in step.tensors))
    if step.graph:
        parts.append("\n".join(f"- {edge}" for edge in _edges(step.graph)))
    return parts


def to_terminal(run: DemoRun) -> str:
    """Write a run for a terminal: title, explanation, code, time, output, tensors and graph of each step."""
    lines = [run.title, "=" * len(run.title), *_wrapped(run.summary)]
    for step in run.steps:
        lines += ["", step.title, "-" * len(step.title), *_wrapped(step.explanation), ""]
        lines += [f"    {line}".rstrip() for line in step.code.splitlines()]
        lines += ["", f"  {_time(step)}"]
        if step.output:
            lines += ["", *(f"  | {line}" for line in step.output.splitlines())]
        if step.tensors:
            lines += ["", *(f"  {describe(tensor)}" for tensor in step.tensors)]
        if step.graph:
            lines += ["", *(f"  {edge}" for edge in _edges(step.graph))]
    return "\n".join(lines) + "\n"


def list_for_terminal(demos: Iterable[Demo]) -> str:
    """Write what demos there are, and what can be changed in each."""
    lines = []
    for demo in demos:
        lines += [f"{demo.name}: {demo.title}", *(f"  {line}" for line in _wrapped(demo.summary))]
        for name, parameter in demo.parameters.items():
            option = f"--{name.replace('_', '-')}"
            lines.append(f"    {option:<14}{parameter.help}: {parameter.allowed} ({demo.defaults[name]})")
        lines.append("")
    return "\n".join(lines)


def _time(step: Step) -> str:
    return f"Took {step.duration_ms:.3f} ms."


def _edges(graph: AutogradGraph) -> list[str]:
    labels = {node.id: node.label for node in graph.nodes}
    return [f"{labels[edge.source]} → {labels[edge.target]}" for edge in graph.edges]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)
