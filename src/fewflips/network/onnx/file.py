"""ONNX files: decoding them and reading their constants, with nothing that they claim taken on trust."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, SupportsInt

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from fewflips.errors import ModelError
from fewflips.files.input_files import open_plain, read_plain, size_of
from fewflips.formats.number_formats import INT4, INT8, UINT4, UINT8, StorageType
from fewflips.network.onnx.functions import inlined

MAX_FILE_BYTES = 2**31 - 1
"""What protobuf can hold."""

MAX_ELEMENTS = 2**31
"""Tensors with more elements are refused."""

_FLOAT4E2M1, _FLOAT8E8M0, _UINT2, _INT2 = 23, 24, 25, 26
"""Element types of onnx.proto that releases of onnx before 1.20 have no name for."""

STORAGE_TYPES: Mapping[int, StorageType] = {
    TensorProto.INT8: INT8,
    TensorProto.UINT8: UINT8,
    TensorProto.INT4: INT4,
    TensorProto.UINT4: UINT4,
    _INT2: StorageType(2, signed=True),
    _UINT2: StorageType(2, signed=False),
}
"""Element types of quantized operands."""

FLOAT_TYPES = frozenset((TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE))

_ITEMS: Mapping[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.UINT64: ("<u8", "uint64_data"),
    TensorProto.UINT32: ("<u4", "uint64_data"),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.INT16: ("<i2", "int32_data"),
    TensorProto.UINT16: ("<u2", "int32_data"),
    TensorProto.INT8: ("i1", "int32_data"),
    TensorProto.UINT8: ("u1", "int32_data"),
    TensorProto.BOOL: ("u1", "int32_data"),
    TensorProto.FLOAT16: ("<f2", "int32_data"),
    TensorProto.BFLOAT16: ("<u2", "int32_data"),
    TensorProto.FLOAT8E4M3FN: ("u1", "int32_data"),
    TensorProto.FLOAT8E4M3FNUZ: ("u1", "int32_data"),
    TensorProto.FLOAT8E5M2: ("u1", "int32_data"),
    TensorProto.FLOAT8E5M2FNUZ: ("u1", "int32_data"),
    _FLOAT8E8M0: ("u1", "int32_data"),
    TensorProto.COMPLEX64: ("<c8", "float_data"),
    TensorProto.COMPLEX128: ("<c16", "double_data"),
    TensorProto.INT4: ("u1", "int32_data"),
    TensorProto.UINT4: ("u1", "int32_data"),
    _FLOAT4E2M1: ("u1", "int32_data"),
    _INT2: ("u1", "int32_data"),
    _UINT2: ("u1", "int32_data"),
}
"""Element type -> (type of an item as numpy knows it, field that holds items one by one)."""

_PACKED_BITS: Mapping[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    _FLOAT4E2M1: 4,
    _INT2: 2,
    _UINT2: 2,
}
"""Element types of which several share a byte, the first one in its lowest bits."""

_ATTRIBUTE_TYPES: Mapping[int, str] = {
    AttributeProto.INT: "INT",
    AttributeProto.INTS: "INTS",
    AttributeProto.STRING: "STRING",
}
_EXTERNAL_KEYS = frozenset(("location", "offset", "length", "checksum", "basepath"))
_FIRST_IR_WITH_OVERRIDABLE_INITIALIZERS = 4


@dataclass(frozen=True)
class External:
    """Where a tensor's bytes lie outside the model: already checked to be inside the model's folder."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, eq=False)
class Constant:
    """An initializer, or what a Constant node holds.

    Parameters
    ----------
    name : str
        Its name in the graph.
    shape : tuple of int
        Its shape.
    element_type : int
        ``onnx.TensorProto.DataType``.
    tensor : TensorProto or None
        The file's own message; None where the values are not kept in one, or are sparse: they cannot be moved.
    scalar_values : ndarray or None
        Values of a Constant node that has no tensor.
    """

    name: str
    shape: tuple[int, ...]
    element_type: int
    tensor: TensorProto | None = field(repr=False)
    scalar_values: NDArray[np.generic] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


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


class OnnxFile:
    """A decoded file whose structure has been checked.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    path : Path
        The file.
    model : ModelProto
        What it holds, functions inlined; external data are not loaded.
    inlined_functions : int
        How many functions it defines whose bodies stand in place of their calls.
    sha256 : str
        Hexadecimal digest of the file.
    opset : int
        Version of the default domain.
    constants : dict of str to Constant
        Initializers and Constant nodes of the main graph.
    nodes : tuple of Node
        Nodes of the main graph, in the file's order, Constant nodes left out.
    inputs, outputs : tuple of str
        Of the main graph; inputs that have a default come last.

    Raises
    ------
    ModelError
        If the file cannot be read, is damaged, or claims more than it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        data = _bytes_of(self.path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        decoded = self._decoded(data)
        self.model = inlined(decoded)
        self.inlined_functions = 0 if self.model is decoded else len(decoded.functions) - len(self.model.functions)
        self._folder = self.path.resolve().parent
        self._check_tensors()
        graph = self.model.graph
        self.opset = self._default_opset()
        initial = self._initializers(graph)
        self.inputs, overridable = self._inputs(graph, initial)
        self.outputs = tuple(_text(value.name) for value in graph.output)
        nodes = [_node(index, proto) for index, proto in enumerate(graph.node)]
        self.nodes = tuple(node for node in nodes if not _is_constant(node))
        held = {node.outputs[0]: self._held(node) for node in nodes if _is_constant(node)}
        self._check_order(nodes, initial)
        self.constants = {name: value for name, value in initial.items() if name not in overridable} | held
        self.overridable = {name: initial[name] for name in overridable}

    def values(self, constant: Constant) -> NDArray[Any]:
        """Values of a constant.

        Parameters
        ----------
        constant : Constant
            One of this file.

        Returns
        -------
        ndarray
            In the constant's shape; integers narrower than 8 bits one to a byte, bfloat16 and float8 as codes.

        Raises
        ------
        ModelError
            If its bytes cannot be read.
        """
        if constant.scalar_values is not None:
            return constant.scalar_values
        if constant.tensor is None:
            raise ModelError(f"{self.path}: constant '{constant.name}' is sparse: expected a dense one")
        content = np.frombuffer(self.payload(constant.tensor), dtype=_ITEMS[constant.element_type][0])
        storage = STORAGE_TYPES.get(constant.element_type)
        bits = _PACKED_BITS.get(constant.element_type)
        if bits is not None:
            content = unpack(content, bits, constant.size)
            if storage is not None and storage.signed:
                content = ((content ^ (1 << (bits - 1))).astype(np.int8) - (1 << (bits - 1))).astype(np.int8)
        return content.reshape(constant.shape)

    def payload(self, tensor: TensorProto) -> bytes:
        """Bytes of a tensor, as ``raw_data`` would hold them, from wherever the file keeps them."""
        external = self.external(tensor)
        if external is not None:
            return self._external_bytes(external, _text(tensor.name))
        if tensor.HasField("raw_data"):
            return bytes(tensor.raw_data)
        item, field_name = _ITEMS[tensor.data_type]
        entries = getattr(tensor, field_name)
        if field_name != "int32_data":
            base = "<f4" if field_name == "float_data" else "<f8" if field_name == "double_data" else item
            return np.array(entries, dtype=base).tobytes()
        wide = np.array(entries, dtype=np.int64)
        bits = 8 * np.dtype(item).itemsize
        if wide.size and (wide.min() < -(1 << (bits - 1)) or wide.max() >= 1 << bits):
            raise self._damaged(f"tensor '{_text(tensor.name)}': expected values of {bits} bits, got larger ones")
        codes = wide & ((1 << bits) - 1)
        return codes.astype(f"<u{bits // 8}").tobytes()

    def external(self, tensor: TensorProto) -> External | None:
        """Where a tensor's external data lie; None where the file itself holds them.

        Raises
        ------
        ModelError
            If the place is outside the model's folder, or the data do not fit there.
        """
        if tensor.data_location != TensorProto.EXTERNAL:
            return None
        name = _text(tensor.name)
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            key = _text(entry.key)
            if key in entries:
                raise self._damaged(f"tensor '{name}' gives {key} of its external data twice")
            if key in _EXTERNAL_KEYS:
                entries[key] = _text(entry.value)
        path = self._inside_folder(name, entries.get("location", ""))
        needed = byte_length(tensor)
        if needed is None:
            raise self._damaged(f"tensor '{name}': elements of its type cannot lie in external data")
        offset = self._count(name, "offset", entries.get("offset", "0"))
        length = self._count(name, "length", entries.get("length", str(needed)))
        size = path.stat().st_size
        if length != needed or offset + length > size:
            raise self._damaged(
                f"tensor '{name}': expected {needed} bytes of external data for shape {list(tensor.dims)}, got "
                f"length {length} at offset {offset} in a file of {size} bytes"
            )
        return External(path, offset, length)

    def _decoded(self, data: bytes) -> ModelProto:
        try:
            model = onnx.load_model_from_string(data)
        except (DecodeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self.path}: expected an ONNX file, got bytes that cannot be decoded as one; get a fresh copy"
            ) from error
        if not model.HasField("graph") or not model.graph.node:
            raise ModelError(f"{self.path}: expected an ONNX file with operators, got none; get a fresh copy")
        return model

    def _default_opset(self) -> int:
        versions = [entry.version for entry in self.model.opset_import if _text(entry.domain) in ("", "ai.onnx")]
        if len(versions) != 1 or not 1 <= versions[0] <= onnx.defs.onnx_opset_version():
            raise self._damaged(
                f"expected one version of the operator set, 1 to {onnx.defs.onnx_opset_version()}, got {versions}; a "
                "file of a newer version needs a newer onnx package"
            )
        return versions[0]

    def _check_tensors(self) -> None:
        for tensor in all_tensors(self.model):
            name = _text(tensor.name)
            size = element_count(tensor.dims)
            if size is None:
                raise self._damaged(
                    f"tensor '{name}': expected a shape of at most {MAX_ELEMENTS} elements, got {list(tensor.dims)[:8]}"
                )
            if tensor.data_type != TensorProto.STRING and tensor.data_type not in _ITEMS:
                raise self._damaged(f"tensor '{name}': element type {tensor.data_type} is not known")
            if tensor.HasField("segment"):
                raise self._damaged(
                    f"tensor '{name}': expected its data in one piece, got a segment; no runtime reads it"
                )
            if self.external(tensor) is None:
                self._check_held(tensor, name, size)

    def _check_held(self, tensor: TensorProto, name: str, size: int) -> None:
        if tensor.data_type == TensorProto.STRING:
            expected, got = size, len(tensor.string_data)
        elif tensor.HasField("raw_data"):
            expected, got = byte_length(tensor) or 0, len(tensor.raw_data)
        else:
            _, field_name = _ITEMS[tensor.data_type]
            per_item = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
            packed = tensor.data_type in _PACKED_BITS
            expected = (byte_length(tensor) or 0) if packed else size * per_item
            got = len(getattr(tensor, field_name))
        if expected != got:
            raise self._damaged(
                f"tensor '{name}' of shape {list(tensor.dims)}: expected {expected} bytes or items of data, got {got}"
            )

    def _inside_folder(self, name: str, location: str) -> Path:
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
        if not location or "\0" in location or absolute:
            raise self._damaged(f"external data of tensor '{name}': expected a relative path, got {location[:200]!r}")
        try:
            path = (self._folder / location).resolve(strict=True)
            regular = stat.S_ISREG(path.stat().st_mode)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"{self.path}: external data '{location[:200]}' of tensor '{name}' cannot be read; put the file back "
                "beside the model"
            ) from error
        if not path.is_relative_to(self._folder) or not regular:
            raise self._damaged(
                f"external data of tensor '{name}': expected a file inside the model's folder, got {location[:200]!r}"
            )
        return path

    def _count(self, name: str, key: str, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise self._damaged(f"external data of tensor '{name}': expected {key} to be a count, got {text[:40]!r}")
        return int(text)

    def _external_bytes(self, external: External, name: str) -> bytes:
        try:
            with open_plain(external.path) as file:
                file.seek(external.offset)
                content = file.read(external.length)
        except OSError as error:
            raise ModelError(f"{external.path}: cannot be read: {error.strerror}") from error
        if len(content) != external.length:
            raise self._damaged(f"external data of tensor '{name}' end before their {external.length} bytes")
        return content

    def _initializers(self, graph: GraphProto) -> dict[str, Constant]:
        result: dict[str, Constant] = {}
        dense = [(_text(tensor.name), tensor, tensor) for tensor in graph.initializer]
        sparse = [(_text(entry.values.name), entry, None) for entry in graph.sparse_initializer]
        for name, described, tensor in [*dense, *sparse]:
            if not name or name in result:
                raise self._damaged(f"expected initializers with names of their own, got '{name}' again")
            if element_count(described.dims) is None:
                raise self._damaged(f"tensor '{name}': shape {list(described.dims)[:8]} is not possible")
            element_type = described.data_type if isinstance(described, TensorProto) else described.values.data_type
            result[name] = Constant(name, tuple(described.dims), element_type, tensor)
        return result

    def _inputs(self, graph: GraphProto, initial: Mapping[str, Constant]) -> tuple[tuple[str, ...], frozenset[str]]:
        """Find the inputs, and which initializers are no constants because a caller may replace them."""
        names = [_text(value.name) for value in graph.input]
        if len(set(names)) != len(names) or "" in names:
            raise self._damaged("expected inputs with names of their own")
        with_default = [name for name in names if name in initial]
        if self.model.ir_version < _FIRST_IR_WITH_OVERRIDABLE_INITIALIZERS:
            with_default = []
        required = [name for name in names if name not in initial]
        return (*required, *with_default), frozenset(with_default)

    def _held(self, node: Node) -> Constant:
        """Read what a Constant node holds."""
        name = node.outputs[0]
        for key, attribute in node.attributes.items():
            if key == "value" and attribute.type == AttributeProto.TENSOR:
                return Constant(name, tuple(attribute.t.dims), attribute.t.data_type, attribute.t)
            if key in ("value_int", "value_ints"):
                values = np.array(attribute.i if key == "value_int" else list(attribute.ints), dtype=np.int64)
                return Constant(name, values.shape, TensorProto.INT64, None, values)
            if key in ("value_float", "value_floats"):
                floats = np.array(attribute.f if key == "value_float" else list(attribute.floats), dtype=np.float32)
                return Constant(name, floats.shape, TensorProto.FLOAT, None, floats)
            if key == "sparse_value":
                dims = attribute.sparse_tensor.dims
                if element_count(dims) is not None:
                    return Constant(name, tuple(dims), attribute.sparse_tensor.values.data_type, None)
        return Constant(name, (0,), TensorProto.STRING, None)

    def _check_order(self, nodes: list[Node], initial: Mapping[str, Constant]) -> None:
        """Every name is defined once, before its use."""
        known = {"", *initial, *self.inputs}
        for node in nodes:
            missing = next((name for name in node.inputs if name not in known), None)
            if missing is not None:
                raise self._damaged(f"node {node} reads '{missing}', which nothing before it computes")
            for name in node.outputs:
                if name and name in known:
                    raise self._damaged(f"node {node} computes '{name}', which exists already")
                known.add(name)
        if not self.outputs:
            raise self._damaged("expected outputs, got none")
        for name in self.outputs:
            if not name or name not in known:
                raise self._damaged(f"output '{name}' is not computed")

    def _damaged(self, detail: str) -> ModelError:
        return ModelError(f"{self.path}: damaged ONNX file: {detail}")


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


def inner_nodes(node: Node) -> Iterator[Node]:
    """Nodes of the graphs that a node holds, and of the graphs that those hold.

    Raises
    ------
    ModelError
        If one of them is damaged.
    """
    for attribute in node.proto.attribute:
        for graph in _graphs(attribute):
            yield from nodes_of(node.index, graph.node)


def nodes_of(index: int, protos: Iterable[NodeProto]) -> Iterator[Node]:
    """Nodes of the body of the operator at `index`, each followed by those of the graphs that it holds."""
    for proto in protos:
        inner = _node(index, proto)
        yield inner
        yield from inner_nodes(inner)


def element_count(dims: Iterable[SupportsInt]) -> int | None:
    """Count the elements of a shape; None where it is negative somewhere or beyond :data:`MAX_ELEMENTS`."""
    lengths = [int(length) for length in dims]
    if any(length < 0 or length > MAX_ELEMENTS for length in lengths) or len(lengths) > 64:
        return None
    size = prod(lengths)
    return size if size <= MAX_ELEMENTS else None


def byte_length(tensor: TensorProto) -> int | None:
    """Bytes that a tensor's data take; None for strings."""
    if tensor.data_type == TensorProto.STRING:
        return None
    size = prod(tensor.dims)
    bits = _PACKED_BITS.get(tensor.data_type)
    if bits is not None:
        return (size * bits + 7) // 8
    return size * np.dtype(_ITEMS[tensor.data_type][0]).itemsize


def unpack(packed: NDArray[np.uint8], bits: int, size: int) -> NDArray[np.uint8]:
    """Codes of `bits` bits, one to a byte, from bytes that hold several, the first in the lowest bits.

    Examples
    --------
    >>> unpack(np.array([0x21, 0x03], np.uint8), 4, 3).tolist()
    [1, 2, 3]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return ((packed[:, np.newaxis] >> shifts) & ((1 << bits) - 1)).astype(np.uint8).reshape(-1)[:size]


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Inverse of :func:`unpack`; the last byte is filled up with zeros.

    Examples
    --------
    >>> [hex(byte) for byte in pack(np.array([1, 2, 3], np.uint8), 4).tolist()]
    ['0x21', '0x3']
    """
    per_byte = 8 // bits
    flat = codes.reshape(-1) & ((1 << bits) - 1)
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: flat.size] = flat
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1).astype(np.uint8)


def item_type(element_type: int) -> tuple[np.dtype[np.generic], int | None]:
    """Type in which an element type's bytes are read, and bits of an element where several share a byte."""
    return np.dtype(_ITEMS[element_type][0]), _PACKED_BITS.get(element_type)


def _bytes_of(path: Path) -> bytes:
    try:
        size = size_of(path)
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{path}: expected an ONNX file below 2 GiB, got {size} bytes")
        return read_plain(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ModelError(f"{path}: cannot be read: {reason}; give the path of an .onnx file") from error


def _text(value: object) -> str:
    """Check a string of the file; protobuf hands over bytes where they are no UTF-8."""
    if not isinstance(value, str):
        raise ModelError(f"damaged ONNX file: expected text in UTF-8, got {value!r:.40}")
    return value


def _is_constant(node: Node) -> bool:
    named = len(node.outputs) == 1 and bool(node.outputs[0])
    return node.operator == "Constant" and node.domain == "" and named and not node.has_subgraph


def _node(index: int, proto: NodeProto) -> Node:
    domain = _text(proto.domain)
    attributes = {_text(attribute.name): attribute for attribute in proto.attribute}
    if len(attributes) != len(proto.attribute):
        raise ModelError(f"damaged ONNX file: node {index} gives an attribute twice")
    graphs = [graph for attribute in proto.attribute for graph in _graphs(attribute)]
    captured: set[str] = set()
    for graph in graphs:
        captured |= _names_used(graph)
    return Node(
        index=index,
        name=_text(proto.name),
        operator=_text(proto.op_type),
        domain="" if domain == "ai.onnx" else domain,
        inputs=tuple(_text(name) for name in proto.input),
        outputs=tuple(_text(name) for name in proto.output),
        attributes=attributes,
        captured=frozenset(captured),
        has_subgraph=bool(graphs),
        proto=proto,
    )


def _graphs(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _names_used(graph: GraphProto) -> set[str]:
    names = {_text(value.name) for value in graph.output}
    for node in graph.node:
        names.update(_text(name) for name in node.input)
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                names |= _names_used(inner)
    return names
