"""The autograd graph behind a result, as nodes and edges."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import Node as Function


@dataclass(frozen=True)
class Node:
    """A function that ran, or a leaf that gradients are collected in.

    Attributes:
        id: n0 is the function that made the result.
        label: the name of the function, or of the leaf's variable.
        kind: function or leaf.
    """

    id: str
    label: str
    kind: str


@dataclass(frozen=True)
class Edge:
    """The way that the data took: from one node's output into the next one."""

    source: str
    target: str


@dataclass(frozen=True)
class AutogradGraph:
    """All that a result was computed from, as far as autograd wrote it down."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(result: Tensor, namespace: Mapping[str, object]) -> AutogradGraph:
    """Walk from a result back to its leaves, breadth first.

    Args:
        result: a tensor that has a `grad_fn`.
        namespace: where the names of leaves are looked up.
    """
    assert result.grad_fn is not None, "a graph is asked for where there is none"
    names = {id(value): name for name, value in namespace.items() if isinstance(value, Tensor)}
    found: dict[Function, str] = {result.grad_fn: "n0"}  # holds the functions, so that each is met as one object
    waiting = [result.grad_fn]
    edges = []
    for function in waiting:  # grows while it is walked through
        for source, _ in function.next_functions:
            if source is None:  # an input that needs no gradient
                continue
            if source not in found:
                found[source] = f"n{len(found)}"
                waiting.append(source)
            edges.append(Edge(found[source], found[function]))
    return AutogradGraph(tuple(_node(function, key, names) for function, key in found.items()), tuple(edges))


def _node(function: Function, key: str, names: Mapping[int, str]) -> Node:
    leaf = getattr(function, "variable", None)  # of AccumulateGrad alone
    if leaf is None:
        return Node(key, function.name(), "function")
    return Node(key, names.get(id(leaf), "leaf"), "leaf")
