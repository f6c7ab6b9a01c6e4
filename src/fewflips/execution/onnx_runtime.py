"""Runs ONNX files in ONNX Runtime.

Sessions run inside a worker process: see :mod:`fewflips.execution.runtimes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from fewflips.errors import InputError, ModelError
from fewflips.execution.sessions import InputSpec, check_feeds
from fewflips.files.input_files import read_plain
from fewflips.files.leftovers import temporary_folder
from fewflips.network.onnx.functions import inlined
from fewflips.parallel.processors import processors

MAX_THREADS = 2
"""Threads of a session."""

_DTYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(uint32)": np.uint32,
    "tensor(int64)": np.int64,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}

_FLOAT_PRODUCTS = frozenset(
    (
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "TransposeMatMul",
        "NhwcFusedConv",
    )
)
"""Operators that compute a product in float, in files and in graphs optimized by ONNX Runtime."""

_BLOCK_PRODUCTS = frozenset(("MatMulNBits", "MatMulBnb4"))
"""Operators that compute a product in float from weights of a few bits."""

_FORMS_OF_WEIGHTS = frozenset(("DequantizeLinear", "QuantizeLinear", "Transpose", "Identity", "Cast"))
"""Operators that only change the form of weights."""

_QUIET = 4

_CONFIGURATION = {
    # Without it, int8 activations of QDQ graphs become uint8 on x86, which leaves some products to float operators.
    "session.qdqisint8allowed": "1",
    "session.intra_op.allow_spinning": "0",
}


class OnnxRuntimeSession:
    """An ONNX file, loaded by ONNX Runtime on the processor.

    Parameters
    ----------
    path : str
        The file.
    fetch : sequence of str
        Tensors that runs will ask for. Intermediate ones become outputs of a copy of the model in memory, which
        keeps ONNX Runtime from fusing the operators around them.

    Attributes
    ----------
    inputs : tuple of InputSpec
        The model's inputs.
    outputs : tuple of str
        Names of its own outputs.

    Raises
    ------
    InputError
        If a tensor in `fetch` is unknown, or an input has a type that arrays do not support.
    ModelError
        If the file is not an ONNX file, or exceeds 2 GiB and intermediate tensors are requested.
    """

    def __init__(self, path: str, fetch: Sequence[str] = ()) -> None:
        self._path = Path(path)
        self._session = _open(str(path), _options(self._path))
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        given = {argument.name for argument in self._session.get_inputs()}
        model = None
        added = [name for name in dict.fromkeys(fetch) if name not in given and name not in self.outputs]
        narrow = any(argument.type in ("tensor(int8)", "tensor(uint8)") for argument in self._session.get_inputs())
        if added or narrow:
            model = _load(self._path)
        self.inputs = tuple(self._spec(argument, model) for argument in self._session.get_inputs())
        if added and model is not None:
            self._add_outputs(model, added)
        self._known = {*given, *self.outputs, *added}

    def run(self, feeds: Mapping[str, NDArray[Any]], fetch: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run one inference.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            A value for each input, of the shape and type in `inputs`.
        fetch : sequence of str
            Tensors to return: inputs, outputs, or those with which the session was opened.

        Returns
        -------
        dict of str to ndarray
            The value of each tensor in `fetch`.

        Raises
        ------
        InputError
            If an input is missing or does not fit, or a tensor is unknown.
        """
        check_feeds(self._path, self.inputs, feeds)
        unknown = next((name for name in fetch if name not in self._known), None)
        if unknown is not None:
            raise InputError(f"{self._path}: '{unknown}' was not asked for when the session was opened; name it there")
        wanted = [name for name in dict.fromkeys(fetch) if name not in feeds]
        if wanted:
            own = {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs}
            results = dict(zip(wanted, self._session.run(wanted, own), strict=True))
        else:
            results = {}
        return {name: np.array(results[name] if name in results else feeds[name]) for name in fetch}

    def _add_outputs(self, model: onnx.ModelProto, names: Sequence[str]) -> None:
        """Load the model again with additional outputs."""
        computed = {name for node in model.graph.node for name in node.output}
        for name in names:
            if name not in computed:
                raise InputError(f"{self._path}: expected names of tensors of the network, got '{name}'")
            model.graph.output.add(name=name)
        self._session = _open(model.SerializeToString(), _options(self._path))

    def _spec(self, argument: Any, model: onnx.ModelProto | None) -> InputSpec:
        if argument.type not in _DTYPES:
            raise InputError(f"{self._path}: input '{argument.name}': expected numbers, got {argument.type}")
        shape = tuple(length if isinstance(length, int) and length >= 0 else 1 for length in argument.shape)
        scale, zero_point = (None, None) if model is None else _quantization(model.graph, argument.name, self._path)
        return InputSpec(argument.name, shape, np.dtype(_DTYPES[argument.type]), scale, zero_point)


def executes_in_integers(path: str) -> bool:
    """Whether ONNX Runtime computes every quantized product of a model in integers.

    It computes products in float if it finds no integer kernel to replace DequantizeLinear, a float operator and
    QuantizeLinear. Products whose weights are floats in the file do not count.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    bool
        False if a product of quantized weights is left to a float operator after ONNX Runtime's optimization.
    """
    source = Path(path)
    with temporary_folder("fewflips-ort-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options = _options(source)
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.data")
        _open(str(source), options)
        left = _load(optimized).graph
    return not _quantized_float_products(left)


def _quantized_float_products(graph: GraphProto) -> list[str]:
    """Float products with quantized weights in an optimized graph, which keeps their DequantizeLinear."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    producers = {name: node for node in graph.node for name in node.output}
    return [
        node.name
        for node in graph.node
        if node.op_type in _BLOCK_PRODUCTS
        or (
            node.op_type in _FLOAT_PRODUCTS
            and any(_is_dequantized_constant(name, producers, constants) for name in node.input[:2])
        )
    ]


def _is_dequantized_constant(name: str, producers: Mapping[str, NodeProto], constants: Set[str]) -> bool:
    dequantized = False
    while name in producers and producers[name].op_type in _FORMS_OF_WEIGHTS:
        dequantized |= producers[name].op_type == "DequantizeLinear"
        name = producers[name].input[0]
    return dequantized and name in constants


def _open(model: str | bytes, options: Any) -> Any:
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _options(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(MAX_THREADS, processors())
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    for key, value in _CONFIGURATION.items():
        options.add_session_config_entry(key, value)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.resolve().parent))
    return options


def _load(path: Path) -> onnx.ModelProto:
    try:
        return inlined(onnx.load_model_from_string(read_plain(path)))
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: cannot be decoded: intermediate tensors need an ONNX file below 2 GiB") from error


def _quantization(graph: GraphProto, name: str, path: Path) -> tuple[float | None, int | None]:
    """Scale and zero point of an integer input, according to the first operator that reads it."""
    positions = {"DequantizeLinear": (1, 2), "QLinearConv": (1, 2), "QLinearMatMul": (1, 2), "QGemm": (1, 2)}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in positions or node.input[0] != name:
            continue
        scale, zero_point = (node.input[i] if i < len(node.input) else "" for i in positions[node.op_type])
        if scale not in initializers or (zero_point and zero_point not in initializers):
            return None, None
        folder = str(path.resolve().parent)
        values = onnx.numpy_helper.to_array(initializers[scale], folder).reshape(-1)
        zeros = onnx.numpy_helper.to_array(initializers[zero_point], folder).reshape(-1) if zero_point else np.zeros(1)
        if values.size != 1 or zeros.size != 1:
            return None, None
        return float(values[0]), int(zeros[0])
    return None, None
