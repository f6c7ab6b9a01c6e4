"""Float activations that the machine quantizes, and how many tokens a file without a graph processes."""

from __future__ import annotations

import json
import sys
from math import isclose
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError, ModelError
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.drawn_activations import drawn_samples
from fewflips.execution.samples import Samples
from fewflips.network.on_the_fly import FORMATS, quantize_on_the_fly, quantized_rows
from fewflips.simulation.run import EnergyOptions
from tests.network import build_gguf as gguf
from tests.network import build_onnx as onnx_models


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def by_hand(rows: NDArray[np.floating], most: int) -> list[list[int]]:
    """Each row over its largest magnitude, to the nearest integer and half to even, one value at a time."""
    found = []
    for row in rows.tolist():
        largest = max(abs(value) for value in row)
        found.append([round(value / largest * most) if largest else 0 for value in row])
    return found


@pytest.mark.parametrize(("name", "most"), [("int8", 127), ("int16", 32767)])
def test_each_row_has_a_scale_of_its_own(name: str, most: int) -> None:
    rows = np.random.default_rng(0).standard_normal((5, 7)) * np.array([[1e-30], [1], [1e30], [0], [3]])
    got = quantized_rows(rows[None], FORMATS[name])
    assert got.dtype == name
    assert got[0].tolist() == by_hand(rows, most)
    assert quantized_rows(np.zeros((1, 2, 3)), FORMATS[name]).tolist() == [[[0] * 3] * 2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(value: float) -> None:
    with pytest.raises(InputError, match="expected finite values"):
        quantized_rows(np.array([[[1.0, value]]]), FORMATS["int8"])


def test_activations_of_a_weight_only_network(tmp_path: Path) -> None:
    network = fewflips.load(onnx_models.save(onnx_models.NBits().model(), tmp_path / "m.onnx"))
    assert any("not known as integers" in note for note in network.notes)
    quantized, notes = quantize_on_the_fly(network, "int8")
    assert notes == (
        "Float activations of 1 layers are quantized on the fly to int8: a scale for each row, no zero point.",
    )
    assert not any("not known as integers" in note for note in quantized.notes)
    x = np.random.default_rng(1).standard_normal((2, 3, 40)).astype(np.float32)
    (layer,) = quantized.layers
    (tensors,) = run_samples(quantized, Samples(({"x": x},), "test", ""))
    assert lowered_rows(layer, tensors)[0].tolist() == by_hand(x.reshape(6, 40).astype(np.float64), 127)
    np.savez(tmp_path / "x.npz", x=x[None])
    report = fewflips.measure(network, "edge4", inputs=tmp_path / "x.npz", activations="int8")
    assert report.totals.activations is not None
    energy = fewflips.energy(network, "edge4", inputs=tmp_path / "x.npz", activations="int8")
    assert energy.total.inertial.data_pj > 0
    assert any("sums of blocks" in note for note in energy.notes)


def test_activations_that_are_integers_already(tmp_path: Path) -> None:
    network = fewflips.load(onnx_models.save(onnx_models.qdq(), tmp_path / "m.onnx"))
    with pytest.raises(InputError, match="expected layers with float activations to quantize to int8, got none"):
        fewflips.measure(network, activations="int8")
    with pytest.raises(InputError, match="expected int8 or int16, got 'int3'"):
        quantize_on_the_fly(network, "int3")


def test_rows_that_an_operator_keeps_to_itself(tmp_path: Path) -> None:
    network = fewflips.load(onnx_models.save(onnx_models.dynamic_lstm(1), tmp_path / "m.onnx"))
    assert [layer.name for layer in network.layers] == ["lstm (input)", "lstm (state)", "behind"]
    assert all(layer.activation_type is None for layer in network.layers)
    report = fewflips.energy(network, "edge4", activations="int8")
    assert [layer.name for layer in report.layers] == ["behind"]
    assert any("Energy of 2 layers is left out" in note for note in report.notes)


def test_energy_of_a_weight_only_network_says_what_is_missing(tmp_path: Path) -> None:
    network = fewflips.load(gguf.save(tmp_path / "m.gguf", gguf.build(gguf.small())))
    with pytest.raises(ModelError, match="--activations int8"):
        fewflips.energy(network)


def test_drawn_activations_depend_on_the_seed_alone(tmp_path: Path) -> None:
    network = fewflips.load(gguf.save(tmp_path / "m.gguf", gguf.build(gguf.small())), tokens=5)
    network, _ = quantize_on_the_fly(network, "int8")
    first, again, other = (drawn_samples(network, seed)[0].feeds[0] for seed in (3, 3, 4))
    names = list(first)
    assert names
    assert len(first) == len(network.layers)
    for name in reversed(names):
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
        assert len(first[name]) == 5
    assert len({first[name].tobytes() for name in names}) == len(names)


@pytest.mark.parametrize("tokens", [1, 6])
def test_rows_are_tokens(
    tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = gguf.save(tmp_path / "m.gguf", gguf.build(gguf.small()))
    for layer, given in zip(fewflips.load(path, tokens=tokens).layers, fewflips.load(path).layers, strict=True):
        assert (layer.m, layer.k, layer.n, given.m) == (tokens, given.k, given.n, 1)
    options = ["--activations", "int8", "--tokens", tokens, "--accelerator", "edge4", "--json"]
    assert run(monkeypatch, "energy", path, *options) == 0
    report = json.loads(capsys.readouterr().out)
    words = "1 token, as in decoding" if tokens == 1 else f"{tokens} tokens, as in prefill"
    assert sum(words in note for note in report["notes"]) == 1
    assert sum("drawn from a normal distribution" in note for note in report["notes"]) == 1
    macs = {layer.name: layer.m * layer.n * layer.k for layer in fewflips.load(path, tokens=tokens).layers}
    assert {layer["name"]: layer["macs"] for layer in report["layers"]} == macs
    assert run(monkeypatch, "measure", path, "--tokens", tokens, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(words in note for note in report["notes"]) == 1


def test_energy_of_more_tokens_is_that_of_longer_streams(tmp_path: Path) -> None:
    """Twice the tokens take about twice the data energy: what streams in is alike."""
    path = gguf.save(tmp_path / "m.gguf", gguf.build(gguf.small()))
    found = [
        fewflips.energy(fewflips.load(path, tokens=tokens), "edge4", activations="int8", options=EnergyOptions())
        for tokens in (4, 8)
    ]
    once, twice = (report.total.inertial.data_pj for report in found)
    assert isclose(twice / once, 2, rel_tol=0.15)


@pytest.mark.parametrize("tokens", [0, 2**21])
def test_absurd_numbers_of_tokens(tokens: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tokens: expected 1 to 1048576"):
        fewflips.load(gguf.save(tmp_path / "m.gguf", gguf.build(gguf.small())), tokens=tokens)


def test_shapes_of_a_graph_are_not_overruled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = onnx_models.save(onnx_models.qdq(), tmp_path / "m.onnx")
    assert run(monkeypatch, "measure", path, "--tokens", 3) == 2
    assert "whose shapes say how many rows its products have" in capsys.readouterr().err.replace("\n", " ")
