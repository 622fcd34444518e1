"""The graph is what autograd wrote down."""

import torch

from app.tensors.graphs import AutogradGraph, Edge, Node, graph_of


def test_a_sum_of_products() -> None:
    """Functions and leaves are nodes; edges go where the data went; constants are not in it."""
    w = torch.ones(2, requires_grad=True)
    b = torch.ones(2, requires_grad=True)
    loss = (w * torch.ones(2) + b).sum()
    assert graph_of(loss, {"w": w, "b": b, "n": 1}) == AutogradGraph(
        nodes=(
            Node("n0", "SumBackward0", "function"),
            Node("n1", "AddBackward0", "function"),
            Node("n2", "MulBackward0", "function"),
            Node("n3", "b", "leaf"),
            Node("n4", "w", "leaf"),
        ),
        edges=(Edge("n1", "n0"), Edge("n2", "n1"), Edge("n3", "n1"), Edge("n4", "n2")),
    )


def test_what_is_used_twice_is_one_node() -> None:
    """With an edge for each use; a leaf that has no name is called a leaf."""
    w = torch.ones(2, requires_grad=True)
    square = w * w
    graph = graph_of((square + square).sum(), {})
    assert [node.label for node in graph.nodes] == ["SumBackward0", "AddBackward0", "MulBackward0", "leaf"]
    assert [(edge.source, edge.target) for edge in graph.edges].count(("n2", "n1")) == 2
    assert [(edge.source, edge.target) for edge in graph.edges].count(("n3", "n2")) == 2


def test_the_graph_is_still_there_after_the_backward_pass() -> None:
    """Its numbers are freed, its shape is not."""
    w = torch.ones(2, requires_grad=True)
    loss = (w * 3).sum()
    before = graph_of(loss, {"w": w})
    torch.autograd.backward(loss)
    assert graph_of(loss, {"w": w}) == before
