"""Functions that an ONNX model defines for itself: their bodies in place of their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import ModelProto, NodeProto
from onnx.inliner import inline_local_functions

from fewflips.network.onnx.errors import REFUSED

_DEEPEST = 64
"""Functions that call functions: how deep, at most."""

_MOST_TIMES = 16
_SPARE_BYTES = 1 << 20
"""A model may become so many times as large, and so much larger."""

_Key = tuple[str, str, str]


class _Stay(Exception):
    """Functions that call themselves, are called too often, or share their name."""


def inlined(model: ModelProto) -> ModelProto:
    """A model with the bodies of its functions in place of their calls.

    Parameters
    ----------
    model : ModelProto
        Any model.

    Returns
    -------
    ModelProto
        The model itself where it has no functions, or they cannot be inlined: those that call themselves, become
        too large, share a name, or are damaged. Functions that ask for another version of the operator set than the
        model stay.
    """
    if not model.functions:
        return model
    try:
        _check_size(model)
        return inline_local_functions(model)
    except _Stay:
        return model
    except REFUSED:
        return model


def _check_size(model: ModelProto) -> None:
    """Bound what the model becomes, before it becomes so large."""
    bodies: dict[_Key, list[NodeProto]] = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if key in bodies:  # before onnx 1.22 the inliner takes either
            raise _Stay
        bodies[key] = list(function.node)
    sizes: dict[_Key, int] = {}
    most = _MOST_TIMES * model.ByteSize() + _SPARE_BYTES

    def size_of(nodes: Iterable[NodeProto], depth: int) -> int:
        if depth > _DEEPEST:
            raise _Stay
        total = 0
        for node in _with_inner(nodes):
            key = (node.domain, node.op_type, node.overload)
            if key in bodies and key not in sizes:
                sizes[key] = size_of(bodies[key], depth + 1)
            total += node.ByteSize() + sizes.get(key, 0)
        if total > most:
            raise _Stay
        return total

    size_of(model.graph.node, 0)


def _with_inner(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, and those of the graphs that they hold."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _with_inner(graph.node)
