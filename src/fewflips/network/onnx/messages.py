"""The protobuf messages of a model: their texts, and the tensors and graphs inside them."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from fewflips.errors import ModelError


def text_of(value: object) -> str:
    """Check a string of the file; protobuf hands over bytes where they are no UTF-8."""
    if not isinstance(value, str):
        raise ModelError(f"damaged ONNX file: expected text in UTF-8, got {value!r:.40}")
    return value


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor message of a model: of its graph, of subgraphs, of functions and of training graphs."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)
    for training in model.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)


def _graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def graphs_of(attribute: AttributeProto) -> list[GraphProto]:
    """Graphs that an attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def names_used(graph: GraphProto) -> set[str]:
    """Names that a graph reads or gives, those of the graphs inside it among them."""
    names = {text_of(value.name) for value in graph.output}
    for node in graph.node:
        names.update(text_of(name) for name in node.input)
        for attribute in node.attribute:
            for inner in graphs_of(attribute):
                names |= names_used(inner)
    return names
