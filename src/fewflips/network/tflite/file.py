"""Decoding a TFLite file into plain, checked values.

The generated flatbuffer code reads wherever the file's offsets point and checks nothing. This module is the
only place that calls it: whatever leaves it has been range-checked, so that later code needs no such care.
Arrays are views into the file's bytes; nothing is allocated by a length that the file merely claims.

The schema is that of the ``tflite`` package: pure Python, without the native library that importing
``ai_edge_litert`` loads.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from fewflips.errors import FewflipsError, ModelError
from fewflips.network.tflite.elements import BITS, TYPE_NAMES, codes
from fewflips.network.tflite.quantization import Quantization, fault_of
from fewflips.visible import visible

MAX_ELEMENTS = 2**31
"""More elements than this in one tensor are taken for a lie."""

MAX_RANK = 16
"""More axes than this in one tensor are taken for a lie."""

MAX_ITEMS = 2**17
"""More tensors, operators or buffers than this are taken for a lie; large networks have some ten thousand."""

_DECODING_ERRORS = (struct.error, IndexError, TypeError, ValueError, OverflowError, AttributeError, AssertionError)
"""What the generated code raises on wild offsets: reads past the end (struct.error, IndexError, ValueError from
numpy.frombuffer), numbers out of range for an offset (TypeError, OverflowError), tables that are not there
(AttributeError), unions of the wrong kind (AssertionError)."""

_OPERATOR_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}

_POOLING = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")

_OPTIONS: Mapping[str, tuple[int, Any, tuple[str, ...]]] = {
    "CONV_2D": (
        tflite.BuiltinOptions.Conv2DOptions,
        tflite.Conv2DOptions,
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "DEPTHWISE_CONV_2D": (
        tflite.BuiltinOptions.DepthwiseConv2DOptions,
        tflite.DepthwiseConv2DOptions,
        ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction"),
    ),
    "FULLY_CONNECTED": (
        tflite.BuiltinOptions.FullyConnectedOptions,
        tflite.FullyConnectedOptions,
        ("WeightsFormat", "FusedActivationFunction"),
    ),
    "CONCATENATION": (
        tflite.BuiltinOptions.ConcatenationOptions,
        tflite.ConcatenationOptions,
        ("Axis", "FusedActivationFunction"),
    ),
    "ADD": (tflite.BuiltinOptions.AddOptions, tflite.AddOptions, ("FusedActivationFunction",)),
    "SUB": (tflite.BuiltinOptions.SubOptions, tflite.SubOptions, ("FusedActivationFunction",)),
    "MUL": (tflite.BuiltinOptions.MulOptions, tflite.MulOptions, ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": (tflite.BuiltinOptions.Pool2DOptions, tflite.Pool2DOptions, _POOLING),
    "MAX_POOL_2D": (tflite.BuiltinOptions.Pool2DOptions, tflite.Pool2DOptions, _POOLING),
}
"""Operator -> (tag of its options, their class, the fields to read)."""

_OPTIONAL = frozenset(["FULLY_CONNECTED", "CONCATENATION", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D"])
"""Operators that may come without options: older files leave out those of a plain fully connected layer."""


@dataclass(frozen=True, eq=False)
class FileTensor:
    """One tensor of the main subgraph.

    Parameters
    ----------
    index : int
        Its place in the subgraph.
    name : str
        Made unique by :func:`unique_names`.
    shape : tuple of int
        A symbolic batch is 1.
    dtype : str
        The schema's name of its type, such as ``INT8``.
    data : ndarray of uint8, or None
        The constant's bytes as stored: a view into the file; None for an activation.
    offset : int
        Where in the file they begin; 0 for an activation.
    quantization : Quantization
        Empty vectors where the file has none.
    is_variable, is_sparse : bool
        Kept between inferences; stored sparsely.
    has_symbolic_axis : bool
        Whether an axis other than the batch is symbolic in the file.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[np.uint8] | None
    offset: int
    quantization: Quantization
    is_variable: bool
    is_sparse: bool
    has_symbolic_axis: bool

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its values."""
        return self.data is not None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_per_channel(self) -> bool:
        """Whether it has a scale for each channel."""
        return self.quantization.scale.size > 1

    @cached_property
    def quantization_fault(self) -> str:
        """What is wrong with its quantization parameters; empty where nothing is."""
        fault = fault_of(self.quantization, self.shape, self.dtype, is_constant=self.is_constant)
        return fault and f"tensor '{self.name}'{fault}"

    def codes(self) -> NDArray[Any]:
        """Give the stored integers of a constant of at most 8 bits, or of INT32 or INT64.

        Returns
        -------
        ndarray of int8, uint8, int32 or int64, of the tensor's shape
            A view, or an unpacked copy where several share a byte.
        """
        if self.data is None:
            raise ModelError(f"tensor '{self.name}': expected a constant, got an activation")
        return codes(self.data, self.dtype, self.shape)


@dataclass(frozen=True)
class FileOperator:
    """One operator of the main subgraph.

    Parameters
    ----------
    operator : str
        The schema's name, such as ``CONV_2D``; ``CUSTOM name`` for a custom one.
    inputs, outputs : tuple of int
        Tensor indices; an absent optional input is -1.
    options : mapping of str to int
        The fields listed in the module's table of options, all present for the operators listed there; empty
        where the file gives none and none is needed to read the operator's products.
    """

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class TFLiteFile:
    """The main subgraph of a TFLite file, checked.

    Parameters
    ----------
    tensors : tuple of FileTensor
        In the file's order.
    operators : tuple of FileOperator
        In execution order.
    inputs, outputs : tuple of int
        Tensor indices.
    subgraphs : int
        How many the file has; only the first is decoded.
    elsewhere : tuple of ndarray of uint8
        Bytes of the constants that other subgraphs or the file's metadata use.
    version : int
        Of the schema, as the file says.
    unreadable_metadata : int
        Entries of metadata whose bytes are not in the file.
    """

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int
    elsewhere: tuple[NDArray[np.uint8], ...]
    version: int
    unreadable_metadata: int


def address(array: NDArray[Any]) -> int:
    """Where in memory an array begins: views into one file's bytes are told apart by it."""
    return int(array.__array_interface__["data"][0])


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of tensors, each made unique by its place alone.

    An empty name becomes ``tensor N``; a repeated one gets ``#2``, ``#3``, ... appended; characters that do
    not print are replaced.

    Parameters
    ----------
    names : sequence of str
        Names in the file's order.

    Returns
    -------
    tuple of str
        As many, all different.

    Examples
    --------
    >>> unique_names(["a", "", "a", "a#2", "a"])
    ('a', 'tensor 1', 'a#2', 'a#2#2', 'a#3')
    """
    taken: set[str] = set()
    copies: dict[str, int] = {}
    result = []
    for index, name in enumerate(names):
        base = visible(name) or f"tensor {index}"
        candidate = base
        while candidate in taken:
            copies[base] = copies.get(base, 1) + 1
            candidate = f"{base}#{copies[base]}"
        taken.add(candidate)
        result.append(candidate)
    return tuple(result)


def decode(data: bytes | bytearray, path: Path) -> TFLiteFile:
    """Decode and check a file.

    Parameters
    ----------
    data : bytes or bytearray
        The whole file; with a bytearray, the arrays of the result can be written through.
    path : Path
        Its name, for messages.

    Returns
    -------
    TFLiteFile
        The main subgraph.

    Raises
    ------
    ModelError
        If the file is not TFLite, damaged, or makes impossible claims.
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise ModelError(
            f"{path}: not a TFLite file: expected the identifier 'TFL3' at byte 4, got {bytes(data[4:8])!r}; "
            "give a .tflite file as the TFLite converter writes it"
        )
    with _decoding(path):
        return _Decoder(data, path).file()


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn what the generated code raises on a damaged file into one clear error."""
    try:
        yield
    except FewflipsError:
        raise
    except _DECODING_ERRORS as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{path}: damaged TFLite file: {detail}; get a fresh copy of the file") from error


class _Decoder:
    """State of one decoding: the bytes, and how many of them may still be claimed.

    In an honest file, vectors lie side by side; in a hostile one, thousands of tables may point at the same
    long vector. Everything read is charged against twice the file's size, so that time and memory stay
    proportional to it.
    """

    def __init__(self, data: bytes | bytearray, path: Path) -> None:
        self._data = data
        self._path = path
        self._budget = 2 * len(data) + 65536
        self._buffers = 0
        self._decoded: dict[int, NDArray[np.uint8]] = {}
        self._start = address(np.frombuffer(data, np.uint8))
        self._model = tflite.Model.GetRootAs(data)

    def file(self) -> TFLiteFile:
        model = self._model
        subgraphs = self._count("subgraphs", model.SubgraphsLength())
        if subgraphs == 0:
            raise self._damaged("it has no subgraph")
        self._buffers = self._count("buffers", model.BuffersLength())
        if self._buffers == 0:
            raise self._damaged("it has no buffers")
        main = model.Subgraphs(0)
        tensors = self._tensors(main)
        inputs = self._indices("inputs of the network", main.InputsAsNumpy(), len(tensors), optional=False)
        outputs = self._indices("outputs of the network", main.OutputsAsNumpy(), len(tensors), optional=False)
        operators = self._operators(main, len(tensors))
        self._check_producers(tensors, operators, inputs)
        metadata, unreadable = self._metadata()
        others = metadata | {i: self._buffer(i) for i in self._used_elsewhere(subgraphs) if i < self._buffers}
        elsewhere = tuple(others[i] for i in sorted(others) if others[i].size)
        return TFLiteFile(tensors, operators, inputs, outputs, subgraphs, elsewhere, model.Version(), unreadable)

    def _damaged(self, detail: str) -> ModelError:
        return ModelError(f"{self._path}: damaged TFLite file: {detail}; get a fresh copy of the file")

    def _charge(self, what: str, size: int) -> None:
        self._budget -= size
        if size < 0 or self._budget < 0:
            raise self._damaged(f"its {what} claim more than the file's {len(self._data)} bytes")

    def _count(self, what: str, count: int) -> int:
        if count > MAX_ITEMS:
            raise self._damaged(f"it claims {count} {what}, more than {MAX_ITEMS}")
        self._charge(what, 16 * count)
        return count

    def _array(self, what: str, array: Any, dtype: Any) -> NDArray[Any]:
        """Check a vector that the generated code gives as an array, or as the integer 0 where there is none."""
        if not isinstance(array, np.ndarray):
            return np.empty(0, dtype)
        self._charge(what, array.nbytes)
        return array

    def _text(self, value: bytes | None) -> str:
        if value is None:
            return ""
        self._charge("names", len(value))
        return value.decode("utf-8", errors="replace")

    def _buffer(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a buffer, decoded when it is first used."""
        if index not in self._decoded:
            buffer = self._model.Buffers(index)
            offset, size = buffer.Offset(), buffer.Size()
            if offset > 1:
                if offset + size > len(self._data):
                    raise self._damaged(
                        f"buffer {index} lies at bytes {offset} to {offset + size} of a file of {len(self._data)} bytes"
                    )
                inside: Any = np.frombuffer(self._data, np.uint8, size, offset)
            else:
                inside = buffer.DataAsNumpy()
            self._decoded[index] = self._array(f"buffer {index}", inside, np.uint8)
        return self._decoded[index]

    def _tensors(self, subgraph: Any) -> tuple[FileTensor, ...]:
        count = self._count("tensors", subgraph.TensorsLength())
        tables = [subgraph.Tensors(i) for i in range(count)]
        names = unique_names([self._text(table.Name()) for table in tables])
        return tuple(self._tensor(i, names[i], table) for i, table in enumerate(tables))

    def _tensor(self, index: int, name: str, table: Any) -> FileTensor:
        shape, has_symbolic_axis = self._shape(name, table)
        dtype = TYPE_NAMES.get(table.Type(), f"type {table.Type()}")
        buffer = table.Buffer()
        if buffer >= self._buffers:
            raise self._damaged(f"tensor '{name}' names buffer {buffer} of {self._buffers}")
        is_sparse = table.Sparsity() is not None
        data = self._buffer(buffer) if self._buffer(buffer).size else None
        if data is not None and dtype in BITS and not is_sparse:
            expected = -(-math.prod(shape) * BITS[dtype] // 8)
            if data.size != expected:
                raise self._damaged(
                    f"constant '{name}' of shape {list(shape)} and type {dtype}: "
                    f"expected {expected} bytes, got {data.size}"
                )
        return FileTensor(
            index=index,
            name=name,
            shape=shape,
            dtype=dtype,
            data=data,
            offset=0 if data is None else address(data) - self._start,
            quantization=self._quantization(name, table.Quantization()),
            is_variable=bool(table.IsVariable()),
            is_sparse=is_sparse,
            has_symbolic_axis=has_symbolic_axis,
        )

    def _shape(self, name: str, table: Any) -> tuple[tuple[int, ...], bool]:
        stored = self._array("shapes", table.ShapeAsNumpy(), np.int32)
        signature = self._array("shapes", table.ShapeSignatureAsNumpy(), np.int32)
        if max(stored.size, signature.size) > MAX_RANK:
            raise self._damaged(f"tensor '{name}' has {max(stored.size, signature.size)} axes, more than {MAX_RANK}")
        shape = [int(length) for length in stored]
        if shape and shape[0] == -1:
            shape[0] = 1
        if any(length < 0 for length in shape):
            raise self._damaged(f"tensor '{name}' has the negative shape {shape}")
        if math.prod(shape) > MAX_ELEMENTS:
            raise self._damaged(f"tensor '{name}' of shape {shape} has more than 2^31 elements")
        return tuple(shape), bool((signature[1:] < 0).any())

    def _quantization(self, name: str, table: Any) -> Quantization:
        if table is None:
            floats, integers = np.empty(0, np.float32), np.empty(0, np.int64)
            return Quantization(floats, integers, floats, floats, 0, False)
        what = f"quantization parameters of tensor '{name}'"
        return Quantization(
            scale=self._array(what, table.ScaleAsNumpy(), np.float32),
            zero_point=self._array(what, table.ZeroPointAsNumpy(), np.int64),
            minimum=self._array(what, table.MinAsNumpy(), np.float32),
            maximum=self._array(what, table.MaxAsNumpy(), np.float32),
            axis=table.QuantizedDimension(),
            has_details=table.DetailsType() != 0,
        )

    def _indices(self, what: str, array: Any, tensors: int, *, optional: bool) -> tuple[int, ...]:
        indices = self._array(what, array, np.int32)
        low = -1 if optional else 0
        if indices.size and (indices.min() < low or indices.max() >= tensors):
            raise self._damaged(
                f"{what}: expected tensor indices below {tensors}, got {indices.min()} to {indices.max()}"
            )
        return tuple(int(index) for index in indices)

    def _operators(self, subgraph: Any, tensors: int) -> tuple[FileOperator, ...]:
        names = self._operator_names()
        result = []
        for i in range(self._count("operators", subgraph.OperatorsLength())):
            table = subgraph.Operators(i)
            code = table.OpcodeIndex()
            if code >= len(names):
                raise self._damaged(f"operator {i} names operator code {code} of {len(names)}")
            what = f"operator {i} ({names[code]})"
            result.append(
                FileOperator(
                    operator=names[code],
                    inputs=self._indices(f"inputs of {what}", table.InputsAsNumpy(), tensors, optional=True),
                    outputs=self._indices(f"outputs of {what}", table.OutputsAsNumpy(), tensors, optional=False),
                    options=self._options(what, names[code], table),
                )
            )
        return tuple(result)

    def _operator_names(self) -> list[str]:
        names = []
        for i in range(self._count("operator codes", self._model.OperatorCodesLength())):
            code = self._model.OperatorCodes(i)
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = _OPERATOR_NAMES.get(builtin, f"operator code {builtin}")
            if name == "CUSTOM":
                name = f"CUSTOM {visible(self._text(code.CustomCode()))}".strip()
            names.append(name)
        return names

    def _options(self, what: str, operator: str, table: Any) -> Mapping[str, int]:
        if operator not in _OPTIONS:
            return {}
        tag, options_class, fields = _OPTIONS[operator]
        options = table.BuiltinOptions()
        if table.BuiltinOptionsType() == 0 and operator in _OPTIONAL:
            return {}
        if options is None or table.BuiltinOptionsType() != tag:
            raise self._damaged(f"{what} has no options of its own kind")
        reader = options_class()
        reader.Init(options.Bytes, options.Pos)
        return {field: int(getattr(reader, field)()) for field in fields}

    def _check_producers(
        self, tensors: Sequence[FileTensor], operators: Sequence[FileOperator], inputs: Sequence[int]
    ) -> None:
        """Every tensor has one origin: the file, the caller, or one operator."""
        produced = set(inputs)
        for operator in operators:
            for index in operator.outputs:
                if index in produced or tensors[index].is_constant:
                    raise self._damaged(
                        f"tensor '{tensors[index].name}' is written by {operator.operator}, but has a value already"
                    )
                produced.add(index)

    def _used_elsewhere(self, subgraphs: int) -> set[int]:
        """Indices of buffers that the tensors of other subgraphs name."""
        indices: set[int] = set()
        for i in range(1, subgraphs):
            subgraph = self._model.Subgraphs(i)
            count = self._count("tensors", subgraph.TensorsLength())
            indices.update(subgraph.Tensors(j).Buffer() for j in range(count))
        return indices

    def _metadata(self) -> tuple[dict[int, NDArray[np.uint8]], int]:
        """Buffers of the file's metadata that can be read, and how many entries have none."""
        found: dict[int, NDArray[np.uint8]] = {}
        unreadable = 0
        for i in range(self._count("metadata", self._model.MetadataLength())):
            try:
                index = self._model.Metadata(i).Buffer()
                if index >= self._buffers:
                    raise IndexError(index)
                found[index] = self._buffer(index)
            except (ModelError, *_DECODING_ERRORS):
                unreadable += 1
        return found, unreadable
