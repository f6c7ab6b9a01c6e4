"""Folders of Hugging Face models: what the reader gives, against matrices that plain loops have packed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fewflips
from fewflips.errors import FloatModelError, InputError, ModelError, RuntimeFailure
from fewflips.network.layer import Layer
from tests.network import build_safetensors as models
from tests.patience import PATIENCE_S

pytest.importorskip("safetensors", reason="needs the package safetensors: pip install 'fewflips[safetensors]'")

MODULE = "model.layers.0.mlp.up_proj"
N, K, GROUP = 16, 64, 16


def check(layer: Layer, content: models.Matrix) -> None:
    """Every code, zero point and scale."""
    right = layer.right
    assert layer.weights.tolist() == content.codes.tolist()
    assert right.scales is not None
    zeros, scales = right.element_zero_points(), right.scales.elements(right.shape)
    n, k = content.codes.shape
    assert (layer.m, layer.n, layer.k) == (1, n, k)
    for row in range(n):
        for column in range(k):
            group = content.group_of[column]
            assert zeros[row, column] == content.zeros[row, group]
            assert scales[row, column] == float(content.scales[row, group])
    groups = right.scale_groups()
    assert all(
        (groups[a] == groups[b]) == (content.group_of[a] == content.group_of[b]) for a in range(k) for b in range(k)
    )


def only_layer(folder: Path) -> Layer:
    (layer,) = fewflips.load(folder).layers
    assert layer.name == MODULE
    return layer


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq(bits: int, act_order: bool, tmp_path: Path):
    content = models.matrix(32, K, GROUP, bits, bits, act_order=act_order)
    settings = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "desc_act": act_order}
    layer = only_layer(models.save(tmp_path, models.gptq(MODULE, content, bits), settings))
    check(layer, content)
    assert layer.weight_type.name == f"uint{bits}"
    assert layer.operator == "gptq"


def test_gptq_with_zero_points_as_they_are(tmp_path: Path):
    content = models.matrix(N, K, GROUP, 4)
    settings = {"bits": 4, "group_size": GROUP, "checkpoint_format": "gptq_v2", "quant_method": "gptq"}
    check(only_layer(models.save(tmp_path, models.gptq(MODULE, content, 4, less=0, g_idx=False), settings)), content)


def test_gptq_with_one_group_a_channel_and_settings_of_its_own(tmp_path: Path):
    content = models.matrix(N, K, K, 4)
    models.save(tmp_path, models.gptq(MODULE, content, 4), None)
    (tmp_path / "quantize_config.json").write_text('{"bits": 4, "group_size": -1, "desc_act": false}')
    layer = only_layer(tmp_path)
    check(layer, content)
    assert layer.weight_zero_points.tolist() == content.zeros[:, 0].tolist()


@pytest.mark.parametrize(
    "settings", [{"quant_method": "awq", "bits": 4, "group_size": GROUP}, {"w_bit": 4, "q_group_size": GROUP}]
)
def test_awq(settings: dict[str, Any], tmp_path: Path):
    content = models.matrix(N, K, GROUP, 4)
    check(only_layer(models.save(tmp_path, models.awq(MODULE, content), settings)), content)


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize("zeros", ["packed", "plain"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_compressed_tensors_packed(bits: int, zeros: str, in_stream: bool, tmp_path: Path):
    """Codes that go on in the next word, and words of which bits are left."""
    content = models.matrix(N + 1, K, GROUP, bits, 3)
    tensors = models.packed(MODULE, content, bits, zeros=zeros, in_stream=in_stream)
    check(only_layer(models.save(tmp_path, tensors, models.compressed_config(bits, GROUP))), content)


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_compressed_tensors_without_zero_points_and_with_activation_order(dtype: str, tmp_path: Path):
    content = models.matrix(N, K, GROUP, 4, 5, act_order=True)
    content.zeros[:] = 8
    content.scales = np.round(content.scales * 16) / np.float16(16)  # what 8 bits of mantissa hold
    tensors = models.packed(MODULE, content, 4, zeros="none", g_idx=True, dtype=dtype)
    check(only_layer(models.save(tmp_path, tensors, models.compressed_config(4, GROUP))), content)


@pytest.mark.parametrize("scale_shape", [(N, 1), (N, K // GROUP), (1,)])
def test_compressed_tensors_of_int8(scale_shape: tuple[int, ...], tmp_path: Path):
    codes = np.random.default_rng(1).integers(-128, 128, (N, K))
    zeros = np.random.default_rng(2).integers(-9, 9, scale_shape)
    scales = np.random.default_rng(3).normal(size=scale_shape).astype(np.float32)
    tensors = {
        f"{MODULE}.weight": models.integers(codes, "I8"),
        f"{MODULE}.weight_scale": models.floats(scales, "F32"),
        f"{MODULE}.weight_zero_point": models.integers(zeros, "I8"),
    }
    layer = only_layer(models.save(tmp_path, tensors, models.compressed_config(8, GROUP, "int-quantized")))
    assert layer.weights.tolist() == codes.tolist()
    assert layer.weight_type.name == "int8"
    assert layer.right.scales is not None
    spread = np.broadcast_to(np.repeat(zeros, K // zeros.shape[-1], axis=-1), (N, K))
    assert layer.right.element_zero_points().tolist() == spread.tolist()
    spread = np.broadcast_to(np.repeat(scales, K // zeros.shape[-1], axis=-1), (N, K))
    assert layer.right.scales.elements((N, K)).tolist() == spread.tolist()


def test_weights_wider_than_the_model_says(tmp_path: Path):
    tensors = {
        f"{MODULE}.weight": models.integers(np.full((N, K), 9), "I8"),
        f"{MODULE}.weight_scale": models.floats(np.ones((N, 1), np.float32)),
    }
    layer = only_layer(models.save(tmp_path, tensors, models.compressed_config(4, None, "int-quantized")))
    with pytest.raises(ModelError, match=f"module '{MODULE}': expected weights of int4, -8 to 7, got 9 to 9"):
        layer.right.load()


def model(folder: Path, shards: int = 1, **config: Any) -> Path:
    """Two blocks, a table, a norm and a head of floats."""
    names = [f"model.layers.{block}.self_attn.q_proj" for block in (0, 9, 10)]
    tensors = {"model.embed_tokens.weight": models.floats(np.ones((5, K)))}
    for seed, name in enumerate(names):
        tensors |= models.gptq(name, models.matrix(8, K, GROUP, 4, seed), 4)
    tensors |= {f"{names[0]}.bias": models.floats(np.ones(8)), "model.norm.weight": models.floats(np.ones(K))}
    tensors["lm_head.weight"] = models.floats(np.ones((5, K)))
    if config.get("tie_word_embeddings"):
        del tensors["lm_head.weight"]
    return models.save(folder, tensors, {"quant_method": "gptq", "bits": 4, "group_size": GROUP}, shards, **config)


def test_what_is_a_layer_and_what_is_not(tmp_path: Path):
    network = fewflips.load(model(tmp_path))
    assert [layer.name.split(".")[2] for layer in network.layers] == ["0", "9", "10"]
    assert [layer.bias.name if layer.bias else None for layer in network.layers] == [
        f"{network.layers[0].name}.bias",
        None,
        None,
    ]
    assert {product.name: product.macs for product in network.left_out} == {
        "lm_head.weight": 5 * K,
        **{f"model.layers.{block}.self_attn": None for block in (0, 9, 10)},
    }
    notes = " ".join(network.notes)
    assert "layer 'model.embed_tokens.weight' (F16): a table of embeddings, whose rows are looked up" in notes
    assert "activations are floats" in notes


def test_a_table_that_is_the_head_as_well_is_left_out_as_a_product(tmp_path: Path):
    network = fewflips.load(model(tmp_path, tie_word_embeddings=True))
    assert network.left_out[0].name == "model.embed_tokens.weight"
    assert network.left_out[0].macs == 5 * K


def test_files_of_a_model_are_read_as_one(tmp_path: Path):
    whole, parts = fewflips.load(model(tmp_path / "a")), fewflips.load(model(tmp_path / "b", shards=3))
    assert [layer.name for layer in parts.layers] == [layer.name for layer in whole.layers]
    for one, other in zip(whole.layers, parts.layers, strict=True):
        assert one.weights.tolist() == other.weights.tolist()
        assert one.right.element_zero_points().tolist() == other.right.element_zero_points().tolist()
    index = fewflips.load(tmp_path / "b" / "model.safetensors.index.json")
    assert [layer.name for layer in index.layers] == [layer.name for layer in parts.layers]
    assert index.sha256 == parts.sha256 != whole.sha256
    alone = fewflips.load(tmp_path / "a" / "model.safetensors")
    assert [layer.name for layer in alone.layers] == [layer.name for layer in whole.layers]
    (layer, *_) = pickle.loads(pickle.dumps(parts)).layers
    assert layer.weights.tolist() == parts.layers[0].weights.tolist()


def test_its_layers_are_counted_ordered_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = model(tmp_path / "model")
    monkeypatch.chdir(folder)
    measured = fewflips.measure(".", "edge4")
    assert (measured.model.format, measured.model.file) == ("safetensors", "model")
    for layer, counted in zip(fewflips.load(folder).layers, measured.layers, strict=True):
        steps = layer.weights[:-1] ^ layer.weights[1:]
        assert counted.weights.flips == sum(int(step).bit_count() for step in steps.reshape(-1))
    result = fewflips.optimize(folder, "edge4", steps=["schedule"])
    result.save(tmp_path / "out")
    check = fewflips.verify(folder, tmp_path / "out" / "schedule.json").check
    assert check.passed
    assert "the sum of each block was compared" in check.method
    with pytest.raises(RuntimeFailure, match="got safetensors: no runtime"):
        fewflips.optimize(folder, "edge4", mode="drop-in")


def test_weights_that_have_changed_are_refused(tmp_path: Path):
    layer = fewflips.load(model(tmp_path)).layers[0]
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8192])
    with pytest.raises(InputError, match="has changed since it was read"):
        layer.right.load()


def test_float_models_and_other_tools_are_told(tmp_path: Path):
    tensors = {f"{MODULE}.weight": models.floats(np.ones((N, K)))}
    with pytest.raises(FloatModelError, match="quantize it first, with llm-compressor or GPTQModel"):
        fewflips.load(models.save(tmp_path, tensors, None))
    with pytest.raises(
        ModelError, match="expected quant_method to be gptq or awq or compressed-tensors, got 'bitsandbytes'"
    ):
        fewflips.load(models.save(tmp_path, tensors, {"quant_method": "bitsandbytes"}))
    with pytest.raises(ModelError, match="expected modules with integer weights, as its quantization_config says"):
        fewflips.load(models.save(tmp_path, tensors, models.compressed_config(8, None, "float-quantized")))
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelError, match="other: cannot be read: Is a directory"):
        fewflips.load(tmp_path / "other")


def test_the_command_line_says_what_to_install(tmp_path: Path):
    program = "import sys; sys.modules['safetensors'] = None; from fewflips.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "measure", str(model(tmp_path))],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'fewflips[safetensors]'" in done.stderr
