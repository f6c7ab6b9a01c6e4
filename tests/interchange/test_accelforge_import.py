"""AccelForge architectures as machines, against the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fewflips.errors import AcceleratorError
from fewflips.interchange.accelforge_import import read_accelforge
from fewflips.machine import load_accelerator
from fewflips.machine.yaml_text import machine_yaml
from tests.interchange.packages import package

FREE = "leak_power: 0, area: 0"

WEIGHT_STATIONARY = """
variables: {width: 4}
arch:
  nodes:
  - !Memory
    name: Dram
    size: inf
    leak_power: 0
    area: 0
    tensors: {keep: All}
    actions: [{name: read, energy: 8e-12, throughput: inf}, {name: write, energy: 9e-12, throughput: inf}]
  - !Memory
    name: Shared
    size: width * 8192
    leak_power: 3e-6
    area: 0
    tensors: {keep: input | output}
    actions:
    - {name: read, energy: 5e-12, bits_per_action: 32, throughput: 1e9}
    - {name: write, energy: 3e-12, bits_per_action: 16, throughput: 1e9}
  - !Memory
    name: Weights
    size: 65536
    leak_power: 1e-6
    area: 0
    tensors: {keep: weight}
    actions:
    - {name: read, energy: 0.5e-12, throughput: 1e9}
    - {name: write, energy: 0.25e-12, throughput: 1e9}
  - !Container
    name: Cores
    spatial: [{name: cores, fanout: 3}]
  - !Container
    name: Array
    spatial: [{name: rows, fanout: 2 * width, reuse: output}, {name: channels, fanout: 16, reuse: input}]
  - !Memory
    name: Register
    size: 8
    leak_power: 0
    area: 0
    tensors: {keep: weight}
    actions: [{name: read, energy: 0, throughput: inf}, {name: write, energy: 0, throughput: inf}]
  - !Compute
    name: MAC
    leak_power: 0
    area: 0
    actions: [{name: compute, energy: 1e-12, throughput: 1e9}]
"""


@pytest.fixture
def accelforge() -> Any:
    return package("accelforge")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "arch.yaml"
    path.write_text(text)
    return path


def test_array_and_buffers_of_an_architecture(accelforge, tmp_path):
    imported = read_accelforge(written(tmp_path, WEIGHT_STATIONARY))
    machine = imported.accelerator
    assert (machine.dataflow, machine.lanes, machine.columns) == ("weight-stationary", 8, 16)
    buffers = machine.buffers
    assert buffers is not None
    assert buffers.partial_sums is not None
    # the shared memory states its words: 32 bits a read, 16 a write
    assert (buffers.activations.size_kib, buffers.activations.word_bits) == (4.0, 32)
    assert buffers.activations.read_pj == pytest.approx(5.0)
    assert buffers.activations.write_pj == pytest.approx(6.0)
    # the weights' memory is priced by the bit: a word is what eight lanes of eight bits take
    assert (buffers.weights.size_kib, buffers.weights.word_bits) == (8.0, 64)
    assert buffers.weights.read_pj == pytest.approx(32.0)
    assert buffers.weights.write_pj == pytest.approx(16.0)
    assert [level.name for level in buffers.beyond] == ["Dram"]
    assert set(buffers.beyond[0].holds) == {"weights", "activations", "partial-sums"}
    assert any("3 copies" in note for note in imported.notes)


def test_leakage_of_a_shared_memory_is_counted_once(accelforge, tmp_path):
    buffers = read_accelforge(written(tmp_path, WEIGHT_STATIONARY)).accelerator.buffers
    assert buffers is not None
    assert buffers.partial_sums is not None
    found = [memory.leakage_uw for memory in (buffers.activations, buffers.partial_sums, buffers.weights)]
    assert sum(found) == pytest.approx(3.0 + 1.0)


def test_machine_text_is_read_back(accelforge, tmp_path):
    machine = read_accelforge(written(tmp_path, WEIGHT_STATIONARY)).accelerator
    path = tmp_path / "machine.yaml"
    path.write_text(machine_yaml(machine))
    assert load_accelerator(path) == machine


def test_examples_of_the_package(accelforge):
    tpu = read_accelforge(accelforge.examples.arches.tpu_v4i).accelerator
    assert (tpu.dataflow, tpu.lanes, tpu.columns) == ("weight-stationary", 128, 128)
    assert tpu.buffers is not None
    # figures of the file: 0.249 and 0.293 pJ a bit in 4 MB, 7.03 pJ a bit beyond
    assert tpu.buffers.activations.read_pj == pytest.approx(0.249 * tpu.buffers.activations.word_bits)
    assert tpu.buffers.activations.write_pj == pytest.approx(0.293 * tpu.buffers.activations.word_bits)
    assert tpu.buffers.activations.size_kib == 4096
    assert tpu.buffers.beyond[-1].read_pj == pytest.approx(7.03 * tpu.buffers.beyond[-1].word_bits)


def test_held_operand_names_the_dataflow(accelforge, tmp_path):
    text = WEIGHT_STATIONARY.replace("reuse: input}]", "reuse: weight}]")
    text = text.replace(
        "size: 8\n    leak_power: 0\n    area: 0\n    tensors: {keep: weight}",
        "size: 8\n    leak_power: 0\n    area: 0\n    tensors: {keep: input}",
    )
    machine = read_accelforge(written(tmp_path, text)).accelerator
    assert (machine.dataflow, machine.lanes, machine.columns) == ("activation-stationary", 8, 16)


def test_dataflow_is_asked_for_where_the_array_holds_several_operands(accelforge):
    with pytest.raises(AcceleratorError, match="--dataflow"):
        read_accelforge(accelforge.examples.arches.eyeriss)
    machine = read_accelforge(accelforge.examples.arches.eyeriss, "activation-stationary").accelerator
    assert (machine.lanes, machine.columns) == (12, 14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arch: [", "AccelForge refuses it"),
        ("arch:\n  nodes: []\n", "expected a spatial fanout"),
        (
            WEIGHT_STATIONARY.replace("reuse: output}, ", "}, ").replace("reuse: input}", "}"),
            "expected a spatial fanout",
        ),
        (WEIGHT_STATIONARY.replace("2 * width", "2 * nothing"), "AccelForge refuses it"),
        (WEIGHT_STATIONARY.replace("2 * width", "5000"), "lanes"),
    ],
)
def test_files_that_describe_no_array(accelforge, tmp_path, text, words):
    with pytest.raises(AcceleratorError, match=words) as error:
        read_accelforge(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_file_that_is_missing(accelforge, tmp_path):
    with pytest.raises(AcceleratorError, match=r"missing\.yaml"):
        read_accelforge(tmp_path / "missing.yaml")
