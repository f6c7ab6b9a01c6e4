"""Damaged and hostile TFLite files: one clear error, no crash, no memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import FewflipsError, ModelError
from fewflips.network.channels import tie_channels
from fewflips.network.graph import Network, OperationKind
from fewflips.network.tflite import reader as tflite
from tests.network import build_tflite as small
from tests.property_settings import examples

MEMORY_LIMIT = 64 * 2**20
"""Bytes that reading a file of some 50 kB may take at most."""


def read_bytes(folder: Path, data: bytes) -> Network:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return tflite.read(path)


def reads_or_refuses(folder: Path, data: bytes) -> bool:
    """Whether damaged data is read; anything but a network or an error of ours is a failure."""
    try:
        network = read_bytes(folder, data)
    except FewflipsError:
        return False
    assert all(layer.weights.shape == (layer.n, layer.k) for layer in network.layers)
    tie_channels(network)
    return True


def mutations(data: bytes, count: int, seed: int) -> list[bytes]:
    """Copies with some bytes changed, words replaced by extreme numbers, stretches moved, or the end cut off."""
    generator = random.Random(seed)
    extremes = [0, 1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4, len(data), len(data) - 4]
    result = []
    for _ in range(count):
        copy = bytearray(data)
        # The tables lie at the front of these files and the weights at the end: half of the damage goes to either.
        for _ in range(generator.choice((1, 1, 2, 8, 64))):
            place = generator.randrange(4, len(copy) - 4)
            if generator.random() < 0.5:
                copy[place] = generator.randrange(256)
            else:
                struct.pack_into("<I", copy, place & ~3, generator.choice(extremes))
        if generator.random() < 0.1:
            start, length = generator.randrange(len(copy)), generator.randrange(200)
            del copy[start : start + length]
        if generator.random() < 0.2:
            copy = copy[: generator.randrange(len(copy))]
        result.append(bytes(copy))
    return result


@pytest.mark.parametrize("build", [small.branching, small.keyword])
def test_mutated_small_network(tmp_path: Path, build: Callable[[], bytes]) -> None:
    outcomes = [reads_or_refuses(tmp_path, data) for data in mutations(build(), 400, seed=0)]
    assert 0 < sum(outcomes) < len(outcomes)


def test_mutated_real_network(shared: Path, tmp_path: Path) -> None:
    data = (shared / "models" / "mlperf_tiny_kws_dscnn_int8.tflite").read_bytes()
    outcomes = [reads_or_refuses(tmp_path, mutated) for mutated in mutations(data, 400, seed=1)]
    assert 0 < sum(outcomes) < len(outcomes)


def test_mutations_take_no_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        for data in mutations(small.branching("INT4"), 100, seed=2):
            reads_or_refuses(tmp_path, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_LIMIT


def test_every_length_of_a_truncated_file(tmp_path: Path) -> None:
    data = small.single(small.DENSE, (1, 16), (1, 4), (4, 16), per_channel=False)
    assert not any(reads_or_refuses(tmp_path, data[:length]) for length in range(0, len(data) - 64, 7))


@given(st.binary(max_size=200))
@examples(200)
def test_arbitrary_bytes(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert not reads_or_refuses(folder, tail)
    assert not reads_or_refuses(folder, struct.pack("<I", 8) + b"TFL3" + tail)


Change = Callable[[schema.ModelT], None]


def changed(change: Change) -> bytes:
    """The file of one fully connected layer, with a lie put into it."""
    data = small.single(small.DENSE, (1, 16), (1, 4), (4, 16), per_channel=False)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def tensor(index: int, **values: object) -> Change:
    """Set attributes of a tensor: 0 is the input, 1 the weights, 2 the bias, 3 the output."""

    def change(model: schema.ModelT) -> None:
        for name, value in values.items():
            setattr(model.subgraphs[0].tensors[index], name, value)

    return change


def quantization(index: int, **values: object) -> Change:
    def change(model: schema.ModelT) -> None:
        for name, value in values.items():
            setattr(model.subgraphs[0].tensors[index].quantization, name, value)

    return change


def operator(**values: object) -> Change:
    def change(model: schema.ModelT) -> None:
        for name, value in values.items():
            setattr(model.subgraphs[0].operators[0], name, value)

    return change


def external_buffer(offset: int, size: int) -> Change:
    def change(model: schema.ModelT) -> None:
        buffer = model.buffers[model.subgraphs[0].tensors[1].buffer]
        buffer.data, buffer.offset, buffer.size = None, offset, size

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tensor(1, shape=[10**6, 10**6]), "tensor 'y/weights' of shape [1000000, 1000000] has more than 2^31 elements"),
        (tensor(0, shape=[2**31 - 1] * 2), "tensor 'x' of shape [2147483647, 2147483647] has more than 2^31 elements"),
        (tensor(0, shape=[1, -16]), "tensor 'x' has the negative shape [1, -16]"),
        (tensor(0, shape=[1] * 17), "tensor 'x' has 17 axes, more than 16"),
        (tensor(1, shape=[4, 17]), "constant 'y/weights' of shape [4, 17] and type INT8: expected 68 bytes, got 64"),
        (tensor(1, buffer=99), "tensor 'y/weights' names buffer 99 of 5"),
        (tensor(1, shape=[64]), "layer 'y' (FULLY_CONNECTED): expected weights of shape [N, K], got [64]"),
        (tensor(0, shape=[1, 17]), "layer 'y' (FULLY_CONNECTED): input [1, 17] does not fit weights [4, 16]"),
        (tensor(0, shape=[0, 16]), "layer 'y' (FULLY_CONNECTED): input [0, 16] does not fit weights [4, 16]"),
        (tensor(3, shape=[1, 5]), "layer 'y' (FULLY_CONNECTED): expected an output of 1 x 4 elements, got [1, 5]"),
        (quantization(0, zeroPoint=[300]), "tensor 'x' of type INT8: expected zero points from -128 to 127, got"),
        (quantization(0, zeroPoint=[1, 2]), "tensor 'x': expected 1 or 1 zero points, got 2"),
        (quantization(0, zeroPoint=[1, 2], scale=[]), "tensor 'x': expected a scale for each zero point, got 0 for 2"),
        (
            quantization(0, scale=[1.0] * 16, zeroPoint=[0, 1] * 8, quantizedDimension=1),
            "layer 'y' (FULLY_CONNECTED): expected one zero point of 'x', got 16",
        ),
        (
            quantization(1, scale=[1.0] * 4, zeroPoint=[0, 1, 2, 3], quantizedDimension=2),
            "tensor 'y/weights' of shape [4, 16] has the quantized dimension 2",
        ),
        (
            quantization(1, scale=[1.0] * 3, zeroPoint=[0, 1, 2]),
            "tensor 'y/weights': expected 4 scales along axis 0, got 3",
        ),
        (
            quantization(1, scale=[1.0] * 16, zeroPoint=[0, 1] * 8, quantizedDimension=1),
            "layer 'y' (FULLY_CONNECTED): expected weight scales along axis 0, got axis 1",
        ),
        (operator(inputs=[0, 99, 2]), "inputs of operator 0 (FULLY_CONNECTED): expected tensor indices below 4, got"),
        (operator(outputs=[-1]), "outputs of operator 0 (FULLY_CONNECTED): expected tensor indices below 4, got"),
        (operator(inputs=[0]), "layer 'y' (FULLY_CONNECTED): expected an input and weights, got tensors [0]"),
        (operator(outputs=[2]), "tensor 'y/bias' is written by FULLY_CONNECTED, but has a value already"),
        (operator(opcodeIndex=7), "operator 0 names operator code 7 of 1"),
        (
            operator(builtinOptionsType=schema.BuiltinOptions.AddOptions, builtinOptions=schema.AddOptionsT()),
            "operator 0 (FULLY_CONNECTED) has no options of its own kind",
        ),
        (external_buffer(2**40, 64), f"buffer 2 lies at bytes {2**40} to {2**40 + 64} of a file of"),
        (external_buffer(100, 2**62), f"buffer 2 lies at bytes 100 to {2**62 + 100} of a file of"),
        (lambda model: setattr(model, "subgraphs", []), "it has no subgraph"),
    ],
)  # fmt: skip
def test_lies(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_bytes(tmp_path, changed(change))
    assert str(caught.value).startswith(f"{tmp_path / 'model.tflite'}: damaged TFLite file: {message}")


UNNEEDED = "flips do not depend on these quantization parameters; constants that have such stay where they are"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (quantization(0, scale=[float("nan")]), "tensor 'x': expected finite, positive scales, got nan to nan"),
        (quantization(0, scale=[0.0]), "tensor 'x': expected finite, positive scales, got 0.0 to 0.0"),
        (quantization(1, scale=[-1.0]), "tensor 'y/weights': expected finite, positive scales, got -1.0 to -1.0"),
        (quantization(1, scale=[1.0] * 3), "tensor 'y/weights': expected 4 scales along axis 0, got 3"),
        (
            quantization(1, scale=[1.0] * 4, quantizedDimension=2),
            "tensor 'y/weights' of shape [4, 16] has the quantized dimension 2",
        ),
        (
            quantization(1, scale=[], zeroPoint=[0] * 3),
            "tensor 'y/weights': expected a scale for each zero point, got 0 for 3",
        ),
        (
            quantization(2, scale=[1.0] * 4, zeroPoint=[0] * 4, quantizedDimension=3),
            "tensor 'y/bias' of shape [4] has the quantized dimension 3",
        ),
        (quantization(2, scale=[1.0] * 3), "tensor 'y/bias': expected 4 scales along axis 0, got 3"),
        (quantization(2, scale=[float("inf")]), "tensor 'y/bias': expected finite, positive scales, got inf to inf"),
        (
            quantization(2, zeroPoint=[2**40]),
            "tensor 'y/bias' of type INT32: expected zero points from -2147483648 to 2147483647, got "
            f"{2**40} to {2**40}",
        ),
        (
            quantization(3, zeroPoint=[300]),
            "tensor 'y' of type INT8: expected zero points from -128 to 127, got 300 to 300",
        ),
    ],
)  # fmt: skip
def test_parameters_that_flips_do_not_need(tmp_path: Path, change: Change, fault: str) -> None:
    expected = read_bytes(tmp_path, changed(lambda model: None)).layers[0]
    weights = expected.weights
    network = read_bytes(tmp_path, changed(change))
    (layer,) = network.layers
    np.testing.assert_array_equal(layer.weights, weights)
    np.testing.assert_array_equal(layer.weight_zero_points, expected.weight_zero_points)
    assert (layer.m, layer.activation_zero_point) == (expected.m, expected.activation_zero_point)
    assert network.notes[0] == f"{fault}: {UNNEEDED}"


def metadata(buffer: int, **values: object) -> Change:
    """An entry of metadata; what `values` say of the new buffer at the end."""

    def change(model: schema.ModelT) -> None:
        entry, content = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = b"min_runtime_version", buffer
        for name, value in values.items():
            setattr(content, name, value)
        model.metadata = [entry]
        model.buffers.append(content)

    return change


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (
            lambda model: setattr(model, "version", 4),
            ("the file says schema version 4; it is read as version 3",),
        ),
        (
            metadata(5, offset=2**40, size=16),
            ("metadata whose bytes are not in the file is passed over (1 of it)",),
        ),
        (metadata(77), ("metadata whose bytes are not in the file is passed over (1 of it)",)),
        (metadata(5, data=[1, 2, 3]), ()),
        (operator(builtinOptionsType=0, builtinOptions=None), ()),
        (quantization(0, scale=[]), ()),
        (quantization(1, scale=[1.0] * 16, quantizedDimension=1), ()),
        (quantization(1, scale=[], zeroPoint=[]), ()),
        (tensor(2, quantization=None), ()),
        (lambda model: setattr(model.operatorCodes[0], "version", 99), ()),
        (tensor(3, name=None), ()),
    ],
)  # fmt: skip
def test_statements_of_the_file_that_are_not_needed(tmp_path: Path, change: Change, notes: tuple[str, ...]) -> None:
    expected = read_bytes(tmp_path, changed(lambda model: None)).layers[0]
    weights = expected.weights
    network = read_bytes(tmp_path, changed(change))
    (layer,) = network.layers
    np.testing.assert_array_equal(layer.weights, weights)
    assert (layer.m, layer.groups, layer.activation_type) == (expected.m, expected.groups, expected.activation_type)
    assert network.notes == notes


def test_a_concatenation_without_options_is_opaque(tmp_path: Path) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(small.branching()))
    (number,) = (i for i, op in enumerate(model.subgraphs[0].operators) if "Concat" in type(op.builtinOptions).__name__)
    model.subgraphs[0].operators[number].builtinOptionsType = 0
    model.subgraphs[0].operators[number].builtinOptions = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    network = read_bytes(tmp_path, bytes(builder.Output()))
    assert len(network.layers) == 6
    assert network.operations[number].kind is OperationKind.OPAQUE


def convolution(**values: int) -> bytes:
    """The file of one convolution, with options changed."""
    data = small.single(small.CONV, (1, 8, 8, 2), (1, 8, 8, 3), (3, 3, 3, 2))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    for name, value in values.items():
        setattr(model.subgraphs[0].operators[0].builtinOptions, name, value)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strideH": 0}, r"expected strides and dilations from 1, got \(0, 1\) and \(1, 1\)"),
        ({"dilationWFactor": -5}, r"expected strides and dilations from 1, got \(1, 1\) and \(1, -5\)"),
        ({"strideW": 2}, r"expected an output of shape \[1, 8, 4, 3\], got \[1, 8, 8, 3\]"),
        ({"padding": 1, "dilationHFactor": 2**30}, r"expected an output of shape \[1, -\d+, 6, 3\], got"),
    ],
)
def test_convolutions_that_contradict_themselves(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=r"layer 'y' \(CONV_2D\): " + message):
        read_bytes(tmp_path, convolution(**options))


def keyword(**shapes: list[int]) -> bytes:
    """The keyword network, with other shapes of its SVDF operator's tensors."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(small.keyword()))
    for tensor in model.subgraphs[0].tensors:
        name = tensor.name.decode().removeprefix("units/")
        tensor.shape = shapes.get(name, tensor.shape)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"features": [80]}, r"expected feature weights of two axes, got \[80\]"),
        ({"times": [2, 4, 6]}, r"expected time weights of two axes, got \[2, 4, 6\]"),
        ({"times": [4, 12]}, r"expected time weights of 8 filters, got \[4, 12\]"),
        ({"features": [8, 10], "hidden": [1, 0]}, r"expected an output of 1 x 10 elements, got \[1, 0\]"),
        ({"features": [10, 8]}, r"expected time weights of 10 filters, got \[8, 6\]"),
        ({"state": [1, 47]}, r"expected a state of 1 x 48 values, got \[1, 47\]"),
        ({"units": [1, 3]}, r"output \[1, 3\] does not fit 8 filters"),
        ({"units": [1, 0]}, r"output \[1, 0\] does not fit 8 filters"),
        ({"units": [1, 4]}, r"expected a bias of 4 elements, got shape \[8\]"),
    ],
)
def test_svdf_operators_that_contradict_themselves(tmp_path: Path, shapes: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_bytes(tmp_path, keyword(**shapes))


@pytest.mark.parametrize("inputs", [[1, 2, 3, 4, -1], [-1, 2, 3, 4, 5], [1, 2, 3, 4], [1]])
def test_svdf_operators_that_lack_a_tensor(tmp_path: Path, inputs: list[int]) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(small.keyword()))
    model.subgraphs[0].operators[1].inputs = inputs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(ModelError, match=r"'units' \(SVDF\): expected an input, two weights and a state, got tensors"):
        read_bytes(tmp_path, bytes(builder.Output()))


def test_buffer_outside_the_flatbuffer(tmp_path: Path) -> None:
    """Files above 2 GiB keep their weights behind the flatbuffer; small ones may."""
    data = small.single(small.DENSE, (1, 16), (1, 4), (4, 16), per_channel=False)
    expected = read_bytes(tmp_path, data).layers[0].weights
    offset = 0
    for _ in range(2):
        outside = changed(external_buffer(offset or 4096, 64))
        offset = len(outside)
    weights = expected.tobytes()
    read = read_bytes(tmp_path, outside + weights)
    assert np.array_equal(read.layers[0].weights, expected)


def test_vectors_claimed_a_thousand_times(tmp_path: Path) -> None:
    """Many operators that point at one long vector would multiply the work."""
    build = small.TFLiteBuilder()
    source = build.tensor("x", (1, 16))
    output = build.weighted(small.DENSE, source, "y", (1, 4), (4, 16), per_channel=False)
    build.operator("CUSTOM", [source] * 20000, [])
    data = bytearray(build.build([source], [output]))
    read_bytes(tmp_path, bytes(data))
    for _ in range(300):
        build._operators.append(build._operators[-1])
    builder = flatbuffers.Builder(1024)
    shared = _pack_sharing_inputs(build, builder, source, output)
    with pytest.raises(ModelError, match=r"its inputs of operator \d+ \(CUSTOM\) claim more than the file's \d+ bytes"):
        read_bytes(tmp_path, shared)


def _pack_sharing_inputs(build: small.TFLiteBuilder, builder: flatbuffers.Builder, source: int, output: int) -> bytes:
    """Pack a model so that all operators with many inputs point at the same vector."""
    first = build._operators[1]
    builder.StartVector(4, len(first.inputs), 4)
    for index in reversed(first.inputs):
        builder.PrependInt32(index)
    vector = builder.EndVector()

    class Sharing(schema.OperatorT):
        def Pack(self, builder: flatbuffers.Builder) -> int:
            schema.OperatorStart(builder)
            schema.OperatorAddOpcodeIndex(builder, 1)
            schema.OperatorAddInputs(builder, vector)
            return int(schema.OperatorEnd(builder))

    graph = schema.SubGraphT()
    operators = [build._operators[0], *(Sharing() for _ in build._operators[1:])]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = build._tensors, operators, [source], [output]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, build._codes, [graph], build._buffers
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("data", "got"), [(b"", "b''"), (b"TFL3", "b''"), (b"\x08\x03\x12\x07pytorch", "b'pyto'"), (bytes(100), r"b'\\x00")]
)
def test_files_of_another_kind(tmp_path: Path, data: bytes, got: str) -> None:
    with pytest.raises(ModelError, match=f"not a TFLite file: expected the identifier 'TFL3' at byte 4, got {got}"):
        read_bytes(tmp_path, data)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: cannot be read: No such file or directory; give the path"):
        tflite.read(tmp_path / "none.tflite")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        tflite.read(tmp_path)


@pytest.mark.parametrize("scale", [[], [0.01]])
@pytest.mark.parametrize("tensor_index", [0, 1])
@pytest.mark.parametrize("zero_point", [2**31, -(2**40), 300])
def test_zero_points_beyond_their_type(tmp_path: Path, tensor_index: int, scale: list[float], zero_point: int) -> None:
    """Without a scale, too, where there is none to go with them."""
    change = quantization(tensor_index, scale=scale, zeroPoint=[zero_point])
    with pytest.raises(ModelError, match=rf"expected zero points from -128 to 127, got {zero_point} to {zero_point}"):
        read_bytes(tmp_path, changed(change))
