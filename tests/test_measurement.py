"""Measuring whole networks, held against sums taken directly from the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewflips.api.measure import measure
from fewflips.execution.runtimes import Runtime
from fewflips.network import load
from tests.network import build_tflite as small

MOBILENET = "mobilenet_v2_1.0_224_quant.tflite"


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


def changes(words: np.ndarray) -> int:
    return int(np.unpackbits(words[1:] ^ words[:-1]).sum())


def test_weight_flips_of_mobilenet_by_plain_numpy(shared: Path):
    network = load(shared / "models" / MOBILENET)
    report = measure(network, "edge16")
    assert len(report.layers) == 53
    assert report.totals.macs == 300_775_552
    for layer, result in zip(network.layers, report.layers, strict=True):
        segments = [layer.weights[:, first : first + 16] for first in range(0, layer.k, 16)]
        assert result.weights.flips == sum(changes(np.ascontiguousarray(words)) for words in segments)
        assert result.repeats == -(-layer.m // 16)
        assert result.activations is None
    assert report.totals.weights.flips == sum(layer.weights.flips * layer.repeats for layer in report.layers)
    assert "Activations were not measured: no sample inputs were given." in report.notes


def test_activation_flips_of_a_pointwise_layer_by_plain_numpy(shared: Path):
    network = load(shared / "models" / "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite")
    report = measure(network, "edge16", inputs=shared / "images")
    index = next(i for i, layer in enumerate(network.layers) if layer.k == 32 and layer.groups == 1)
    layer = network.layers[index]
    from fewflips.execution.samples import load_samples

    total, samples = 0, 0
    with Runtime(network, fetch=[layer.input_tensor]) as runtime:
        for feeds in load_samples(shared / "images", runtime.inputs).feeds:
            tensor = runtime.run(feeds, [layer.input_tensor])[layer.input_tensor]
            rows = tensor.reshape(-1, 32).view(np.uint8)
            tiles = np.zeros((-(-len(rows) // 16), 16, 32), dtype=np.uint8)
            tiles.reshape(-1, 32)[: len(rows)] = rows
            loads = tiles.reshape(len(tiles), 16, 2, 16).swapaxes(1, 2).reshape(-1, 256)
            total, samples = total + changes(loads), samples + 1
    assert samples == 10
    assert report.layers[index].activations.flips == round(total / samples)


@pytest.mark.parametrize("machine", ["edge8", "tpu16", "os16"])
def test_every_machine_measures_both_ports(branching: Path, tmp_path: Path, machine: str):
    with Runtime(branching) as runtime:
        spec = runtime.inputs[0]
    samples = tmp_path / "samples.npz"
    np.savez(samples, np.random.default_rng(0).integers(-128, 128, size=(3, *spec.shape[1:])).astype(spec.dtype))
    report = measure(branching, machine, inputs=samples)
    assert report.inputs is not None
    assert all(layer.activations is not None for layer in report.layers)
    assert report.totals.activations is not None
    assert 0 < report.totals.weights.nhd < 1
    again = measure(branching, machine, inputs=samples)
    assert again == report
