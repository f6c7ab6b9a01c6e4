"""ONNX files: decoding them and reading their constants, with nothing that they claim taken on trust."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from fewflips.errors import ModelError
from fewflips.files.input_files import read_plain, size_of
from fewflips.network.onnx.elements import ITEMS, MAX_ELEMENTS, PACKED_BITS, byte_length, element_count, values_of
from fewflips.network.onnx.errors import damaged
from fewflips.network.onnx.external_data import External, ExternalData
from fewflips.network.onnx.functions import inlined
from fewflips.network.onnx.matrices import StoredArray
from fewflips.network.onnx.messages import all_tensors, text_of
from fewflips.network.onnx.nodes import Node, is_constant_node, node_of
from fewflips.network.onnx.raw_data import raw_data_offsets
from fewflips.network.stored_bytes import FileBytes, HeldBytes, StoredBytes

MAX_FILE_BYTES = 2**31 - 1
"""What protobuf can hold."""

_FIRST_IR_WITH_OVERRIDABLE_INITIALIZERS = 4


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
        self._external = ExternalData(self.path)
        self._check_tensors()
        graph = self.model.graph
        self.opset = self._default_opset()
        initial = self._initializers(graph)
        self.inputs, overridable = self._inputs(graph, initial)
        self.outputs = tuple(text_of(value.name) for value in graph.output)
        nodes = [node_of(index, proto) for index, proto in enumerate(graph.node)]
        self.nodes = tuple(node for node in nodes if not is_constant_node(node))
        held = {node.outputs[0]: self._held(node) for node in nodes if is_constant_node(node)}
        self._check_order(nodes, initial)
        self.constants = {name: value for name, value in initial.items() if name not in overridable} | held
        self.overridable = {name: initial[name] for name in overridable}
        dense = {name: value.tensor for name, value in initial.items() if value.tensor is not None}
        self._offsets = raw_data_offsets(data, dense)
        self._stored: dict[str, StoredArray] = {}

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
        return values_of(self.payload(self._dense(constant)), constant.element_type, constant.shape)

    def stored(self, constant: Constant) -> StoredArray:
        """Values of a constant, to be read when they are needed.

        Parameters
        ----------
        constant : Constant
            One of this file, with a tensor.

        Returns
        -------
        StoredArray
            Initializers with raw data, and external data, stay in their file; what the file keeps in another way, item
            by item or inside a node, stays in memory.

        Raises
        ------
        ModelError
            If its bytes cannot be read.
        """
        if constant.name not in self._stored:
            tensor = self._dense(constant)
            content, external = self.payload(tensor), self.external(tensor)
            stored: StoredBytes
            if external is not None:
                stored = FileBytes.of(external.path, external.offset, content)
            elif constant.name in self._offsets:
                stored = FileBytes.of(self.path, self._offsets[constant.name], content)
            else:
                stored = HeldBytes(content)
            self._stored[constant.name] = StoredArray(stored, constant.element_type, constant.shape)
        return self._stored[constant.name]

    def payload(self, tensor: TensorProto) -> bytes:
        """Bytes of a tensor, as ``raw_data`` would hold them, from wherever the file keeps them."""
        external = self.external(tensor)
        if external is not None:
            return self._external.read(external, text_of(tensor.name))
        if tensor.HasField("raw_data"):
            return bytes(tensor.raw_data)
        item, field_name = ITEMS[tensor.data_type]
        entries = getattr(tensor, field_name)
        if field_name != "int32_data":
            base = "<f4" if field_name == "float_data" else "<f8" if field_name == "double_data" else item
            return np.array(entries, dtype=base).tobytes()
        wide = np.array(entries, dtype=np.int64)
        bits = 8 * np.dtype(item).itemsize
        if wide.size and (wide.min() < -(1 << (bits - 1)) or wide.max() >= 1 << bits):
            raise self._damaged(f"tensor '{text_of(tensor.name)}': expected values of {bits} bits, got larger ones")
        codes = wide & ((1 << bits) - 1)
        return codes.astype(f"<u{bits // 8}").tobytes()

    def external(self, tensor: TensorProto) -> External | None:
        """Where a tensor's external data lie; None where the file itself holds them.

        Raises
        ------
        ModelError
            If the place is outside the model's folder, or the data do not fit there.
        """
        return self._external.place_of(tensor)

    def _dense(self, constant: Constant) -> TensorProto:
        if constant.tensor is None:
            raise ModelError(f"{self.path}: constant '{constant.name}' is sparse: expected a dense one")
        return constant.tensor

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
        versions = [entry.version for entry in self.model.opset_import if text_of(entry.domain) in ("", "ai.onnx")]
        if len(versions) != 1 or not 1 <= versions[0] <= onnx.defs.onnx_opset_version():
            raise self._damaged(
                f"expected one version of the operator set, 1 to {onnx.defs.onnx_opset_version()}, got {versions}; a "
                "file of a newer version needs a newer onnx package"
            )
        return versions[0]

    def _check_tensors(self) -> None:
        for tensor in all_tensors(self.model):
            name = text_of(tensor.name)
            size = element_count(tensor.dims)
            if size is None:
                raise self._damaged(
                    f"tensor '{name}': expected a shape of at most {MAX_ELEMENTS} elements, got {list(tensor.dims)[:8]}"
                )
            if tensor.data_type != TensorProto.STRING and tensor.data_type not in ITEMS:
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
            _, field_name = ITEMS[tensor.data_type]
            per_item = 2 if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
            packed = tensor.data_type in PACKED_BITS
            expected = (byte_length(tensor) or 0) if packed else size * per_item
            got = len(getattr(tensor, field_name))
        if expected != got:
            raise self._damaged(
                f"tensor '{name}' of shape {list(tensor.dims)}: expected {expected} bytes or items of data, got {got}"
            )

    def _initializers(self, graph: GraphProto) -> dict[str, Constant]:
        result: dict[str, Constant] = {}
        dense = [(text_of(tensor.name), tensor, tensor) for tensor in graph.initializer]
        sparse = [(text_of(entry.values.name), entry, None) for entry in graph.sparse_initializer]
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
        names = [text_of(value.name) for value in graph.input]
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
        return damaged(self.path, detail)


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
