"""ONNX files that are truncated, corrupt or hostile: one clear error, and no memory taken."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fewflips.errors import FewflipsError, ModelError
from fewflips.network.graph import Network
from fewflips.network.onnx import reader as adapter
from tests.network import build_onnx as models
from tests.network.build_onnx import QOperators, save

resource = pytest.importorskip("resource")


def read_or_refuse(path: Path) -> Network | None:
    """Read a file; any error but one of ours fails the test."""
    try:
        return adapter.read(path)
    except FewflipsError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert message.isprintable()
    return None


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MODELS = {
    "qlinear": models.qlinear_chain,
    "dynamic": models.dynamic_matmul,
    "qdq": models.qdq,
    "int4": models.int4,
    "blocks": lambda: models.NBits(zero_points="packed", shuffled=True).model(),
    "lstm": lambda: models.dynamic_lstm(2),
    "attention": models.quantized_attention,
    "floats": models.products_to_floats,
    "functions": models.block_network,
    "computed-shape": models.expanded_network,
    "control-flow": lambda: models.with_a_layer(models.control_flow("If")),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Truncate a file, or change, insert or drop some of its bytes."""
    choice = rng.integers(0, 5)
    if choice == 0:
        return data[: rng.integers(0, len(data))]
    content = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(0, len(content)))
        if choice == 1:
            content[place] = rng.integers(0, 256)
        elif choice == 2:
            content[place] ^= 1 << rng.integers(0, 8)
        elif choice == 3:
            content[place:place] = rng.bytes(rng.integers(1, 9))
        else:
            del content[place : place + rng.integers(1, 9)]
    return bytes(content)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    for tensor in model.graph.initializer:  # small payloads, so that mutations hit structure
        if len(tensor.raw_data) > 2000:
            tensor.raw_data = bytes(len(tensor.raw_data))
    data = model.SerializeToString()
    rng = np.random.default_rng(1)
    path = tmp_path / "m.onnx"
    before, read = peak_megabytes(), 0
    for _ in range(150):
        path.write_bytes(mutated(data, rng))
        read += read_or_refuse(path) is not None
    assert 0 < read < 150
    assert peak_megabytes() - before < 200


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x08\x07", b"PK\x03\x04" + bytes(99), b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"expected an ONNX file.* get a fresh copy"):
        adapter.read(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file or directory; give the path of an"):
        adapter.read(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="cannot be read: Is a directory; give the path of an"):
        adapter.read(tmp_path)


def weights_of(model: onnx.ModelProto) -> TensorProto:
    name = model.graph.node[0].input[3]
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_dims(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weights_of(model).dims[:] = dims

    return change


def set_attribute(name: str, values: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = model.graph.node[0]
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, values)])

    return change


def short_data(model: onnx.ModelProto) -> None:
    weights_of(model).raw_data = b"123"


def unknown_type(model: onnx.ModelProto) -> None:
    weights_of(model).data_type = 99


def huge_input(model: onnx.ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value = dims[3].dim_value = 10**6


def negative_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -7


def shapeless_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def twice(model: onnx.ModelProto) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def same_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def missing_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nowhere"


def bad_text(model: onnx.ModelProto) -> None:
    data = model.SerializeToString().replace(b"QLinearConv_", b"QLinear\xff\xfe\xfd\xfc_")
    model.ParseFromString(data)


def segment(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].segment.end = 4


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def new_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def no_inputs(model: onnx.ModelProto) -> None:
    del model.graph.node[0].input[:]


def zero_points(model: onnx.ModelProto) -> None:
    name = model.graph.node[0].input[5]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(5, np.int8), name))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_dims(10**6, 10**6), r"expected a shape of at most 2147483648 elements, got \[1000000, 1000000\]"),
        (set_dims(2**62, 2**62, 2**62), "expected a shape of at most"),
        (set_dims(8, 3, -3, -3), r"got \[8, 3, -3, -3\]"),
        (set_dims(80, 3, 3, 3), r"of shape \[80, 3, 3, 3\]: expected 2160 bytes or items of data, got 216"),
        (set_dims(8, 9, 3, 1), r"weights \[8, 9, 3, 1\] in 1 groups do not fit an input of shape \[1, 3, 8, 8\]"),
        (set_dims(0, 3, 3, 3), "expected 0 bytes or items of data, got 216"),
        (short_data, "expected 216 bytes or items of data, got 3"),
        (unknown_type, "element type 99 is not known"),
        (huge_input, r"tensor 'image' of shape \[1, 3, 1000000, 1000000\] is not possible, or too large"),
        (negative_input, "input 'image': expected a fixed length in dimension 2, got '-7'"),
        (shapeless_input, "input 'image': expected a tensor with a shape, got none"),
        (cycle, "which nothing before it computes"),
        (twice, "which exists already"),
        (same_initializer, "expected initializers with names of their own"),
        (missing_output, "output 'nowhere' is not computed"),
        (bad_text, "expected text in UTF-8"),
        (segment, "expected its data in one piece, got a segment"),
        (no_opset, r"expected one version of the operator set, 1 to \d+, got \[\]"),
        (new_opset, r"got \[999\]; a file of a newer version needs a newer onnx package"),
        (no_inputs, "damaged ONNX file"),
        (zero_points, "expected 1 or 8 zero points of its weights, got 5"),
        (set_attribute("strides", [0, 0]), r"expected strides to be 2 positive integers, got \[0, 0\]"),
        (set_attribute("strides", [1] * 9), "expected strides to be 2 positive integers"),
        (set_attribute("dilations", [2**40, 1]), "expected dilations to be 2 positive integers"),
        (set_attribute("dilations", [9, 9]), "its kernel does not fit an image of 8 x 8 pixels"),
        (set_attribute("pads", [-1, 0, 0, 0]), "expected pads to be 4 integers from 0"),
        (set_attribute("pads", [10**6] * 4), "is not possible, or too large|are too large"),
        (set_attribute("kernel_shape", [5, 5]), r"expected kernel_shape \[3, 3\] as its weights have"),
        (set_attribute("group", 0), "weights .* in 0 groups do not fit"),
        (set_attribute("group", -1), "weights .* in -1 groups do not fit"),
        (set_attribute("group", 2.5), "expected attribute group of type INT|Mismatched attribute type"),
        (set_attribute("auto_pad", "UPWARDS"), "auto_pad 'UPWARDS' is not known"),
    ],
)
def test_damage_is_named(damage: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path) -> None:
    model = models.qlinear_chain()
    damage(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    before = peak_megabytes()
    with pytest.raises(ModelError, match=message) as error:
        adapter.read(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    assert peak_megabytes() - before < 50


def external(model: onnx.ModelProto, **entries: str) -> None:
    """Keep the weights of the first layer in an external file, as `entries` say."""
    tensor = weights_of(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../outside.bin"}, r"expected a file inside the model's folder, got '../outside.bin'"),
        ({"location": "/etc/passwd"}, "expected a relative path, got '/etc/passwd'"),
        ({"location": "C:\\data.bin"}, "expected a relative path"),
        ({"location": "link.bin"}, "expected a file inside the model's folder, got 'link.bin'"),
        ({"location": "folder/data.bin"}, "expected a file inside the model's folder"),
        ({"location": "."}, "expected a file inside the model's folder"),
        ({"location": "missing.bin"}, "external data 'missing.bin' of tensor .* cannot be read; put the file back"),
        ({"location": "a\0b"}, "expected a relative path"),
        ({}, "expected a relative path, got ''"),
        ({"location": "data.bin", "offset": "100"}, "got length 216 at offset 100 in a file of 216 bytes"),
        ({"location": "data.bin", "offset": str(10**17)}, "in a file of 216 bytes"),
        ({"location": "data.bin", "offset": "-1"}, "expected offset to be a count, got '-1'"),
        ({"location": "data.bin", "length": "1e3"}, "expected length to be a count, got '1e3'"),
        ({"location": "data.bin", "length": "9" * 40}, "expected length to be a count"),
        ({"location": "data.bin", "length": "215"}, "expected 216 bytes of external data .* got length 215"),
    ],
)
def test_external_data_that_are_not_in_order(entries: dict[str, str], message: str, tmp_path: Path) -> None:
    model = models.qlinear_chain()
    external(model, **entries)
    (tmp_path / "outside.bin").write_bytes(bytes(216))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "data.bin").write_bytes(bytes(216))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "outside.bin", tmp_path / "elsewhere" / "data.bin")
    (folder / "folder").symlink_to(tmp_path / "elsewhere")
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=message) as error:
        adapter.read(path)
    assert "\n" not in str(error.value)


def test_external_data_named_twice(tmp_path: Path) -> None:
    model = models.qlinear_chain()
    external(model, location="data.bin")
    weights_of(model).external_data.add(key="location", value="other.bin")
    (tmp_path / "data.bin").write_bytes(bytes(216))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="gives location of its external data twice"):
        adapter.read(path)


def test_external_data_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = save(models.qlinear_chain(), tmp_path / "deep" / "m.onnx", external=True)
    inside = save(models.qlinear_chain(), tmp_path / "inside.onnx")
    for layer, other in zip(adapter.read(path).layers, adapter.read(inside).layers, strict=True):
        assert np.array_equal(layer.weights, other.weights)
    (tmp_path / "link.onnx").symlink_to(path)
    assert len(adapter.read(tmp_path / "link.onnx").layers) == 7


def test_operators_whose_inference_may_never_end_are_not_asked_for(tmp_path: Path) -> None:
    build = QOperators(40)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 4, 3, 1)
    real = build.node("Cast", [stem], to=TensorProto.FLOAT)
    build.output(build.node("Einsum", [real], equation="....,,,->...a."), TensorProto.FLOAT)
    network = adapter.read(save(build.model(), tmp_path / "m.onnx"))
    assert "1 operator Einsum: channels are not followed through" in network.notes[-1]


@pytest.mark.parametrize("lengths", ["input", "computed"])
@pytest.mark.parametrize("operator", ["Expand", "Reshape", "ConstantOfShape"])
def test_lists_of_lengths_without_end_take_no_memory(operator: str, lengths: str, tmp_path: Path) -> None:
    """An axis for each of 2 ** 29 lengths would take gigabytes."""
    build = QOperators(42)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 4, 3, 1)
    if lengths == "input":
        shape = build.input("lengths", TensorProto.INT64, [2**29])
    else:
        shape = build.node("ConstantOfShape", [build.constant(np.array([2**29], np.int64))])
        shape = build.node("Cast", [shape], to=TensorProto.INT64)
    build.output(build.node(operator, [shape] if operator == "ConstantOfShape" else [stem, shape]), TensorProto.UINT8)
    path = save(build.model(), tmp_path / "m.onnx")
    before = peak_megabytes()
    assert read_or_refuse(path) is not None
    assert peak_megabytes() - before < 100


def test_functions_that_call_themselves_are_passed_over(tmp_path: Path) -> None:
    build = QOperators(41)
    image = build.input("image", TensorProto.UINT8, [1, 3, 6, 6])
    stem = build.conv(image, 4, 3, 1)
    build.output(build.node("Again", [stem], "local"), TensorProto.UINT8)
    model = build.model()
    body = [helper.make_node("Again", ["x"], ["y"], domain="local")]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    model.functions.append(helper.make_function("local", "Again", ["x"], ["y"], body, opsets))
    model.opset_import.append(helper.make_opsetid("local", 1))
    network = adapter.read(save(model, tmp_path / "m.onnx"))
    assert "1 operator Again" in network.notes[-1]


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    model = models.qlinear_chain()
    graph = model.graph
    for _ in range(200):
        attribute = graph.node.add(op_type="If").attribute.add(name="then_branch")
        attribute.type = onnx.AttributeProto.GRAPH
        graph = attribute.g
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        adapter.read(path)
