"""The nodes of a graph, read from its messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from onnx import AttributeProto, NodeProto

from fewflips.errors import ModelError
from fewflips.network.onnx.messages import graphs_of, names_used, text_of

_ATTRIBUTE_TYPES: Mapping[int, str] = {
    AttributeProto.INT: "INT",
    AttributeProto.INTS: "INTS",
    AttributeProto.STRING: "STRING",
}


@dataclass(frozen=True, eq=False)
class Node:
    """One node of the main graph.

    Parameters
    ----------
    index : int
        Position in the file.
    name, operator, domain : str
        As in the file; the default domain is the empty string.
    inputs, outputs : tuple of str
        Names; an empty string stands for one left out.
    attributes : mapping of str to AttributeProto
        By name.
    captured : frozenset of str
        Names that its subgraphs use; empty where it has none.
    has_subgraph : bool
        Whether it holds graphs of its own.
    proto : NodeProto
        The file's own message.
    """

    index: int
    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeProto] = field(repr=False)
    captured: frozenset[str] = field(repr=False)
    has_subgraph: bool
    proto: NodeProto = field(repr=False)

    def __str__(self) -> str:
        """Label and operator, for messages."""
        return f"'{self.label}' ({self.operator})"

    @property
    def label(self) -> str:
        """Its name, or what it computes where it has none."""
        return self.name or next((name for name in self.outputs if name), f"node {self.index}")

    def input(self, position: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def integer(self, name: str, default: int) -> int:
        """Value of an integer attribute."""
        attribute = self._attribute(name, AttributeProto.INT)
        return default if attribute is None else int(attribute.i)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Value of an attribute that is a list of integers; None where it is left out."""
        attribute = self._attribute(name, AttributeProto.INTS)
        return None if attribute is None else tuple(attribute.ints)

    def text(self, name: str, default: str) -> str:
        """Value of a string attribute."""
        attribute = self._attribute(name, AttributeProto.STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def _attribute(self, name: str, expected: int) -> AttributeProto | None:
        attribute = self.attributes.get(name)
        if attribute is not None and attribute.type != expected:
            kind = _ATTRIBUTE_TYPES[expected]
            raise ModelError(f"node {self}: expected attribute {name} of type {kind}, got type {attribute.type}")
        return attribute


def inner_nodes(node: Node) -> Iterator[Node]:
    """Nodes of the graphs that a node holds, and of the graphs that those hold.

    Raises
    ------
    ModelError
        If one of them is damaged.
    """
    for attribute in node.proto.attribute:
        for graph in graphs_of(attribute):
            yield from nodes_of(node.index, graph.node)


def nodes_of(index: int, protos: Iterable[NodeProto]) -> Iterator[Node]:
    """Nodes of the body of the operator at `index`, each followed by those of the graphs that it holds."""
    for proto in protos:
        inner = node_of(index, proto)
        yield inner
        yield from inner_nodes(inner)


def is_constant_node(node: Node) -> bool:
    """Whether a node does nothing but hold a constant."""
    named = len(node.outputs) == 1 and bool(node.outputs[0])
    return node.operator == "Constant" and node.domain == "" and named and not node.has_subgraph


def node_of(index: int, proto: NodeProto) -> Node:
    """Read a node from its message.

    Parameters
    ----------
    index : int
        Position in the file.
    proto : NodeProto
        The message.

    Returns
    -------
    Node
        The node.

    Raises
    ------
    ModelError
        If its texts cannot be read, or it gives an attribute twice.
    """
    domain = text_of(proto.domain)
    attributes = {text_of(attribute.name): attribute for attribute in proto.attribute}
    if len(attributes) != len(proto.attribute):
        raise ModelError(f"damaged ONNX file: node {index} gives an attribute twice")
    graphs = [graph for attribute in proto.attribute for graph in graphs_of(attribute)]
    captured: set[str] = set()
    for graph in graphs:
        captured |= names_used(graph)
    return Node(
        index=index,
        name=text_of(proto.name),
        operator=text_of(proto.op_type),
        domain="" if domain == "ai.onnx" else domain,
        inputs=tuple(text_of(name) for name in proto.input),
        outputs=tuple(text_of(name) for name in proto.output),
        attributes=attributes,
        captured=frozenset(captured),
        has_subgraph=bool(graphs),
        proto=proto,
    )
