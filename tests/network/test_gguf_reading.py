"""GGUF files: codes, scales and offsets against ``gguf.quants``, and what the commands say of them."""

from __future__ import annotations

import gc
import pickle
import struct
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.errors import FloatModelError, InputError, ModelError, RuntimeFailure
from fewflips.network.gguf.elements import BLOCK_TYPES
from fewflips.network.layer import Layer
from tests.network import build_gguf as files
from tests.patience import PATIENCE_S

gguf = pytest.importorskip("gguf", reason="needs the package gguf: pip install 'fewflips[gguf]'")

LANES = 4  # of edge4
N = 3


def reconstructed(layer: Layer) -> np.ndarray:
    """Weights as a network has them, of what the reader gives."""
    constant = layer.right
    codes = constant.load()
    assert constant.scales is not None
    assert codes.min() >= constant.storage.low
    assert codes.max() <= constant.storage.high
    with np.errstate(invalid="ignore"):  # scales of random bytes
        values = constant.scales.elements(constant.shape) * (
            codes.astype(np.float32) - constant.element_zero_points().astype(np.float32)
        )
        return values if constant.offsets is None else values + constant.offsets.elements(constant.shape)


def written(path: Path, name: str, rows: np.ndarray) -> Path:
    """A file with a matrix of a type, of the bytes of its rows, by the package's writer."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("blk.0.ffn_up.weight", rows, raw_dtype=gguf.GGMLQuantizationType[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", BLOCK_TYPES)
def test_codes_and_scales_are_those_that_the_package_dequantizes(name: str, tmp_path: Path):
    """Random bytes: every code, every scale, floats that are infinite or none."""
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows = np.random.default_rng(len(name)).integers(0, 256, (N, 2 * size), dtype=np.uint8)
    (layer,) = fewflips.load(written(tmp_path / "a.gguf", name, rows)).layers
    assert (layer.name, layer.operator, layer.m, layer.n, layer.k) == ("blk.0.ffn_up.weight", name, 1, N, 2 * block)
    with np.errstate(invalid="ignore"):
        expected = gguf.quants.dequantize(rows, kind)
    np.testing.assert_array_equal(reconstructed(layer), expected)
    assert np.isfinite(expected).any()


QUANTIZED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0")
"""Types that the package can make of floats."""


@pytest.mark.parametrize("name", QUANTIZED)
def test_weights_that_were_quantized_are_near(name: str, tmp_path: Path):
    kind = gguf.GGMLQuantizationType[name]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    weights = np.random.default_rng(3).normal(size=(N, 2 * block)).astype(np.float32)
    rows = gguf.quants.quantize(weights, kind)
    (layer,) = fewflips.load(written(tmp_path / "a.gguf", name, rows)).layers
    found = reconstructed(layer)
    np.testing.assert_array_equal(found, gguf.quants.dequantize(rows, kind))
    assert layer.right.scales is not None
    steps = abs(layer.right.scales.elements(layer.right.shape))
    assert (abs(found - weights) <= 1.01 * steps).all()


def test_q4_0_by_hand(tmp_path: Path):
    """The low half of a byte is a weight of the first half of the block, the high half one of the second."""
    content = np.float16(0.5).tobytes() + bytes(range(16, 32))
    path = files.save(tmp_path / "a.gguf", files.build([files.Tensor("w.weight", files.Q4_0, (32, 1), content)]))
    (layer,) = fewflips.load(path).layers
    assert layer.weights.tolist() == [[*range(16), *[1] * 16]]
    assert layer.weight_zero_points.tolist() == [8]
    assert layer.weight_type.name == "uint4"
    assert layer.right.scales is not None
    assert layer.right.scales.values.tolist() == [[0.5]]
    assert layer.input_tensor is None
    assert layer.activation_type is None


def test_what_the_file_says_is_read_as_the_package_reads_it(shared: Path):
    """A real model: each tensor that is quantized and not a table is a layer, with the package's own values."""
    path = shared / "models" / "minilm_l6_q4_0.gguf"
    network = fewflips.load(path)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    names = [name for name, tensor in tensors.items() if tensor.tensor_type.name == "Q4_0" and name.startswith("blk.")]
    assert [layer.name for layer in network.layers] == names
    for layer in network.layers[:3]:
        data = tensors[layer.name].data
        np.testing.assert_array_equal(
            reconstructed(layer), gguf.quants.dequantize(data, tensors[layer.name].tensor_type)
        )
        assert layer.bias is not None
        assert not layer.bias.is_integer
    notes = " ".join(network.notes)
    assert "('token_types.weight', 'token_embd.weight'): a table of embeddings, whose rows are looked up" in notes
    assert "activations are floats" in notes
    assert [product.macs for product in network.left_out] == [None] * 6  # attention


def test_what_is_a_layer_and_what_is_not(tmp_path: Path):
    tensors = [
        *files.small(),
        files.tensor("blk.0.ffn_gate_exps.weight", files.Q4_1, (32, 4, 3), 6),
        files.tensor("blk.0.ffn_gate_inp.weight", files.F16, (32, 3), 7),
        files.tensor("blk.0.ffn_up.weight", files.IQ2_XXS, (256, 2), 8),
        files.tensor("blk.0.ffn_down.weight", files.IQ4_NL, (32, 2), 9),
    ]
    network = fewflips.load(files.save(tmp_path / "a.bin", files.build(tensors)))
    experts = [f"blk.0.ffn_gate_exps.weight[{i}]" for i in range(3)]
    assert [layer.name for layer in network.layers] == [
        "blk.0.attn_q.weight", "output.weight", *experts, "blk.0.ffn_down.weight"
    ]  # fmt: skip
    assert [layer.bias.name if layer.bias else None for layer in network.layers[:2]] == ["blk.0.attn_q.bias", None]
    rows = np.frombuffer(tensors[5].content, np.uint8).reshape(3, 4, 20)
    for expert, layer in enumerate(network.layers[2:5]):
        with np.errstate(invalid="ignore"):
            expected = gguf.quants.dequantize(rows[expert], gguf.GGMLQuantizationType.Q4_1)
        np.testing.assert_array_equal(reconstructed(layer), expected)
    left_out = {product.name: (product.reason, product.macs) for product in network.left_out}
    assert left_out == {
        "blk.0.ffn_gate_inp.weight": ("its weights are floats", 96),
        "blk.0.ffn_up.weight": ("its codes are not integers, but indices of vectors, or floats of a few bits", 512),
        "blk.0.attention": ("it multiplies two activations, as many as there are tokens before", None),
    }
    notes = " ".join(network.notes)
    for words in ("3 experts, each counted as if it were used", "indices of a table of 16 integers", "have a minimum"):
        assert words in notes


@pytest.mark.parametrize(
    ("names", "causal", "counted"),
    [
        (["output_norm.weight"], None, True),
        (["output_norm.weight"], True, True),
        (["output_norm.weight"], False, False),
        (["output_norm.weight", "output.weight"], None, False),
        ([], None, False),
    ],
)
def test_a_table_is_counted_where_it_is_the_output_head_as_well(
    names: list[str], causal: bool | None, counted: bool, tmp_path: Path
):
    kinds = {"output_norm.weight": (files.F32, (32,)), "output.weight": (files.Q4_0, (32, 5))}
    tensors = [
        files.tensor("token_embd.weight", files.Q4_0, (32, 5)),
        files.tensor("blk.0.ffn_up.weight", files.Q4_0, (32, 5)),
    ]
    tensors += [files.tensor(name, *kinds[name]) for name in names]
    metadata = list(files.METADATA)
    if causal is not None:
        metadata.append(files.entry("llama.attention.causal", files.BOOL, struct.pack("<?", causal)))
    network = fewflips.load(files.save(tmp_path / "a.gguf", files.build(tensors, metadata)))
    assert ("token_embd.weight" in [layer.name for layer in network.layers]) is counted
    assert any("is the output head as well" in note for note in network.notes) is counted
    assert any("rows are looked up" in note for note in network.notes) is not counted


def split(folder: Path, count: int = 3) -> list[Path]:
    """The small model in several files, its tensors dealt out one by one; only the first has all metadata."""
    paths = []
    for number in range(count):
        entries = [files.entry("split.no", 2, struct.pack("<H", number))]
        entries.append(files.entry("split.count", 2, struct.pack("<H", count)))
        content = files.build(files.small()[number::count], [*(files.METADATA if number == 0 else ()), *entries])
        paths.append(files.save(folder / f"m-{number + 1:05}-of-{count:05}.gguf", content))
    return paths


def test_a_model_in_several_files_is_read_as_one(tmp_path: Path):
    whole = fewflips.load(files.save(tmp_path / "a.gguf", files.build(files.small())))
    paths = split(tmp_path)
    networks = [fewflips.load(path) for path in paths]
    assert len({network.sha256 for network in networks}) == 1
    for network in networks:
        found = {layer.name: layer.weights.tolist() for layer in network.layers}
        assert found == {layer.name: layer.weights.tolist() for layer in whole.layers}


def test_files_of_a_model_that_are_missing_or_another_s(tmp_path: Path):
    paths = split(tmp_path)
    content = paths[1].read_bytes()
    paths[1].unlink()
    with pytest.raises(ModelError, match=r"the file m-00002-of-00003\.gguf of the model is missing: put it beside"):
        fewflips.load(paths[0])
    paths[1].write_bytes(paths[2].read_bytes())
    with pytest.raises(ModelError, match=r"expected split\.no and split\.count to be 1 and 3, got 2 and 3"):
        fewflips.load(paths[0])
    entries = [files.entry("split.no", 2, b"\1\0"), files.entry("split.count", 2, b"\3\0")]
    paths[1].write_bytes(files.build(files.small()[:1], entries))
    with pytest.raises(ModelError, match=r"two tensors have the name 'token_embd\.weight'"):
        fewflips.load(paths[0])
    paths[1].write_bytes(content)
    before = fewflips.load(paths[0]).sha256
    paths[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fewflips.load(paths[0]).sha256 != before
    paths[0].rename(tmp_path / "b.gguf")
    with pytest.raises(ModelError, match=r"is one of 3 files: expected a name that ends in -00001-of-00003\.gguf"):
        fewflips.load(tmp_path / "b.gguf")


def test_a_float_model_is_told(tmp_path: Path):
    floats = [files.tensor("blk.0.attn_q.weight", files.F16, (32, 4))]
    with pytest.raises(FloatModelError, match="quantize it first, with llama-quantize"):
        fewflips.load(files.save(tmp_path / "b.gguf", files.build(floats)))
    vectors = [files.tensor("blk.0.ffn_up.weight", files.IQ2_XXS, (256, 4))]
    with pytest.raises(ModelError, match=r"with integer codes \(Q4_0, .*indices of vectors"):
        fewflips.load(files.save(tmp_path / "c.gguf", files.build(vectors)))


def flips(weights: np.ndarray, orders: list[list[int]]) -> int:
    """Flips within passes on 4 lanes, over all passes, by a loop over what the lanes see."""
    count = 0
    for first, order in zip(range(0, weights.shape[1], LANES), orders, strict=True):
        for n, after in pairwise(order):
            for k in range(first, first + LANES):
                count += ((int(weights[n, k]) & 255) ^ (int(weights[after, k]) & 255)).bit_count()
    return count


def test_its_layers_are_counted_ordered_and_checked(tmp_path: Path):
    path = files.save(tmp_path / "a.gguf", files.build(files.small()))
    layers = fewflips.load(path).layers
    measured = fewflips.measure(path, "edge4")
    assert measured.model.format == "gguf"
    for layer, counted in zip(layers, measured.layers, strict=True):
        natural = [list(range(layer.n))] * (layer.k // LANES)
        assert counted.weights.flips == flips(layer.weights, natural)
    result = fewflips.optimize(path, "edge4", steps=["schedule"])
    result.save(tmp_path / "out")
    check = fewflips.verify(path, tmp_path / "out" / "schedule.json").check
    assert check.passed
    assert "the sum of each block was compared" in check.method
    assert result.report.totals.weights.optimized_flips < result.report.totals.weights.baseline_flips


def test_what_needs_a_runtime_is_told(tmp_path: Path):
    path = files.save(tmp_path / "a.gguf", files.build(files.small()))
    with pytest.raises(RuntimeFailure, match="got gguf: no runtime"):
        fewflips.optimize(path, "edge4", mode="drop-in")
    report = fewflips.optimize(path, "edge4").report
    assert any(note.startswith("no drop-in file, since the original cannot be run") for note in report.notes)
    with pytest.raises(RuntimeFailure, match="no runtime; leave out the sample inputs to count weights alone"):
        fewflips.measure(path, "edge4", inputs=tmp_path)


def test_weights_stay_in_the_file(tmp_path: Path):
    matrix = files.tensor("blk.0.ffn_up.weight", files.Q4_K, (4096, 1024))
    path = files.save(tmp_path / "a.gguf", files.build([matrix]))
    fewflips.load(path)  # modules are imported
    gc.collect()
    tracemalloc.start()
    network = fewflips.load(path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
    assert peak < 2_200_000 < 4096 * 1024 * 4.5 / 8
    (layer,) = pickle.loads(pickle.dumps(network)).layers
    np.testing.assert_array_equal(reconstructed(layer), reconstructed(network.layers[0]))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="has changed since it was read"):
        layer.right.load()
    assert layer.right.scales is not None
    with pytest.raises(InputError, match="has changed since it was read"):
        layer.right.scale_groups()
    path.write_bytes(content[:-5])
    with pytest.raises(InputError, match="has changed since it was read"):
        layer.right.load()


def test_the_command_line_says_what_to_install(tmp_path: Path):
    path = files.save(tmp_path / "a.gguf", files.build(files.small()))
    program = "import sys; sys.modules['gguf'] = None; from fewflips.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "measure", str(path)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'fewflips[gguf]'" in done.stderr
