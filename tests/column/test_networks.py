"""Layers of networks on a scheduled column, driven by the files of a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fewflips.api.column import ColumnOptions, column
from fewflips.coding import register_coding
from fewflips.coding.bus_invert import BusInvert
from fewflips.dataflows.orders import natural_orders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.scheduled_column.testbench import column_bench, run_column
from fewflips.errors import AcceleratorError, InputError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.coding_names import CODINGS
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.schedule.binary import index_table_bits
from fewflips.schedule.executor import reference_product
from fewflips.schedule.file import read_schedule, schedule_orders
from fewflips.simulation.column_layer import ColumnLayer, column_layer
from tests.network import build_onnx, build_tflite

from .schedules import random_schedule, written

MOBILENET, KEYWORDS = "mobilenet_v2_1.0_224_quant.tflite", "mlperf_tiny_kws_dscnn_int8.tflite"
TINY = "name: tiny\nlanes: 3\ncolumns: 2\n"
MACHINES = {
    "as stored": TINY,
    "sign-magnitude": TINY + "weights: {format: sign-magnitude}\nactivations: {format: sign-magnitude}\n",
    "two's complement": TINY + "weights: {format: twos-complement}\nactivations: {format: twos-complement}\n",
    "unsigned": TINY + "weights: {format: unsigned}\nactivations: {format: unsigned}\n",
    "register behind the tree, offset": TINY + "datapath: {tree_register: true, offset_sums: true}\n",
    "tiles of pixels": TINY + "tiling: {pixels: 5}\n",
    "hold flags, coded ports": TINY
    + "datapath: {hold_flags: true}\nweights: {coding: bus-invert}\nactivations: {coding: bus-invert}\n",
}


def network_of(folder: Path, content: bytes) -> Network:
    path = folder / "network.tflite"
    path.write_bytes(content)
    return load(path)


def machine_of(folder: Path, text: str) -> Path:
    path = folder / "machine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_every_layer_of_a_small_network(machine: str, kind: str, iverilog: str, tmp_path: Path) -> None:
    """Dense and depthwise convolutions, and a fully connected layer, on random activations."""
    network = network_of(tmp_path, build_tflite.branching(kind, kind))
    file = written(random_schedule(network, machine_of(tmp_path, machine)), tmp_path / "schedule.bin")
    schedule = read_schedule(file)
    orders = schedule_orders(schedule, network)
    datapath = network_datapath(network.layers, schedule.accelerator)
    for number, layer in enumerate(network.layers):
        rows = random_rows(layer, kind, pixels=11)
        columns, preload = 1 + number % 3, number % 2 == 1
        run = column_layer(
            layer, rows, orders[layer.name], schedule.accelerator, datapath, columns=columns, preload=preload
        )
        found = run_column(column_bench(run.design, run.passes, run.codes, run.expected))
        assert found.first_mismatches == ()
        assert found.passed
        assert found.results == 11 * layer.n


def test_the_activations_of_a_sample(iverilog: str, tmp_path: Path) -> None:
    """The whole way, from a model file with its padding to results."""
    network = network_of(tmp_path, build_tflite.branching("UINT8", "UINT8"))
    schedule = written(random_schedule(network, machine_of(tmp_path, TINY)), tmp_path / "schedule.bin")
    images = np.random.default_rng(3).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "inputs.npz", image=images)
    report = column(
        network.path,
        tmp_path / "rtl",
        schedule=schedule,
        inputs=tmp_path / "inputs.npz",
        options=ColumnOptions(columns=3, simulate=True),
    )
    assert report.simulation is not None
    assert report.simulation.passed
    assert report.simulation.results == 8 * 64
    assert report.simulation.cycles == report.cycles
    stored = (tmp_path / "rtl" / f"{report.module}_activations_0.hex").read_text().split()
    window = np.full((3, 3, 3), network.layers[0].activation_zero_point)
    window[1:, 1:] = images[0, :2, :2]  # the first pixel is in a corner
    for word, segment in zip(stored, read_schedule(schedule).layers[0].segments, strict=False):
        assert word == "".join(f"{value:02x}" for value in window.reshape(-1)[list(segment.lanes)][::-1])


def test_grouped_layers_of_an_onnx_network(iverilog: str, tmp_path: Path) -> None:
    path = build_onnx.save(build_onnx.grouped(), tmp_path / "grouped.onnx")
    network = load(path)
    assert any(1 < layer.groups < layer.n for layer in network.layers)
    schedule = written(random_schedule(network, machine_of(tmp_path, TINY)), tmp_path / "schedule.json")
    for layer in network.layers:
        options = ColumnOptions(layer=layer.name, pixels=7, columns=2, simulate=True)
        found = column(path, tmp_path / "rtl", schedule=schedule, options=options).simulation
        assert found is not None
        assert found.passed


def test_both_forms_of_a_schedule_give_the_same_files(tmp_path: Path) -> None:
    network = network_of(tmp_path, build_tflite.branching())
    schedule = random_schedule(network, machine_of(tmp_path, TINY))
    folders = [tmp_path / "bin", tmp_path / "json", tmp_path / "natural"]
    for folder, file in zip(folders, ("schedule.bin", "schedule.json", None), strict=True):
        given = None if file is None else written(schedule, tmp_path / file)
        column(network, folder, machine_of(tmp_path, TINY), schedule=given)
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    module = column_name_in(files[0])
    same = {name for name in files[0] if files[0][name] == files[2][name]}
    assert same >= {f"{module}.v", f"{module}_control.v", f"{module}_passes.hex", f"{module}_expected.hex"}
    assert same.isdisjoint({f"{module}_{what}.hex" for what in ("indices", "weights", "activations_0")})


def column_name_in(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith("_control.v")).removesuffix("_control.v")


def test_the_index_memory_holds_the_bits_of_the_binary_schedule(tmp_path: Path) -> None:
    """Where all segments are as long as the longest, the file's packed orders follow one another in the memory."""
    network = network_of(tmp_path, build_tflite.branching())
    schedule = random_schedule(network, machine_of(tmp_path, TINY))
    content = written(schedule, tmp_path / "schedule.bin").read_bytes()
    report = column(network, tmp_path / "rtl", schedule=tmp_path / "schedule.bin")
    words = [int(line, 16) for line in (tmp_path / "rtl" / f"{report.module}_indices.hex").read_text().split()]
    layer = schedule.layers[0]
    memory = next(memory for memory in report.memories if memory.name == "indices")
    assert memory.bits == report.index_table_bits == index_table_bits(len(one.order) for one in layer.segments)
    per_segment = len(layer.segments[0].order)
    for first in range(0, len(words), per_segment):
        packed = sum(word << memory.width * place for place, word in enumerate(words[first : first + per_segment]))
        assert packed.to_bytes(-(-per_segment * memory.width // 8), "little") in content


def random_rows(layer: Layer, kind: str, pixels: int = 5) -> np.ndarray:
    low = -128 if kind == "INT8" else 0
    rows = np.random.default_rng(1).integers(low, low + 256, (layer.groups, pixels, layer.k))
    return rows.astype(kind.lower())


def lowered(layer: Layer, network: Network, array: Accelerator, rows: np.ndarray, preload: bool) -> ColumnLayer:
    datapath = network_datapath(network.layers, array)
    return column_layer(layer, rows, natural_orders(network, array)[layer.name], array, datapath, preload=preload)


@pytest.mark.parametrize("machine", ["sign-magnitude", "two's complement"])
def test_results_are_the_products_where_words_are_without_zero_points(machine: str, tmp_path: Path) -> None:
    network = network_of(tmp_path, build_tflite.branching("UINT8", "UINT8"))
    array = load_accelerator(machine_of(tmp_path, MACHINES[machine]))
    for layer in network.layers:
        rows = random_rows(layer, "UINT8")
        found = lowered(layer, network, array, rows, preload=False)
        (products,) = reference_product(layer, rows, layer.activation_zero_point or 0)
        assert np.array_equal(found.expected, products)
        assert found.notes == ()


@pytest.mark.parametrize("machine", ["as stored", "unsigned"])
@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
def test_preloaded_sums_end_without_the_zero_points_of_activations(machine: str, kind: str, tmp_path: Path) -> None:
    network = network_of(tmp_path, build_tflite.branching(kind, kind))
    array = load_accelerator(machine_of(tmp_path, MACHINES[machine]))
    code_zero = (-128 if kind == "INT8" else 0) if machine == "unsigned" else 0
    for layer in network.layers:
        rows = random_rows(layer, kind)
        found = lowered(layer, network, array, rows, preload=True)
        of_weights = layer.weight_zero_points - code_zero
        sums = (rows.astype(np.int64) - code_zero).sum(axis=2)[np.arange(layer.n) // (layer.n // layer.groups)].T
        (products,) = reference_product(layer, rows, layer.activation_zero_point or 0)
        assert layer.bias is not None
        assert np.array_equal(found.expected, layer.bias.load(layer.n) + products + of_weights * sums)
        assert bool(found.notes) == bool(of_weights.any())


@pytest.fixture
def another_coding() -> Iterator[None]:
    register_coding(type("Another", (BusInvert,), {"name": "column-test"}))
    yield
    CODINGS.unregister("column-test")


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("tpu16", "tpu16: a column needs an activation-stationary machine whose words reach all columns at once"),
        ("os16", "os16: a column needs an activation-stationary machine"),
        (TINY + "forwarding: systolic\n", "got systolic forwarding"),
        (TINY + "datapath: {partial_sum_input: false}\n", "tiny: a column adds partial sums"),
        (TINY + "replay: serpentine\n", "tiny: a column's controller only counts upwards: leave replay out"),
        (
            TINY + "weights: {coding: column-test}\n",
            "a column has no encoders of coding column-test: set weights.coding to",
        ),
    ],
)
@pytest.mark.usefixtures("another_coding")
def test_machines_without_such_columns_are_refused(machine: str, message: str, tmp_path: Path) -> None:
    given = machine_of(tmp_path, machine) if "\n" in machine else machine
    with pytest.raises(AcceleratorError) as caught:
        column(network_of(tmp_path, build_tflite.branching()), tmp_path / "rtl", given)
    assert message in str(caught.value)
    assert not (tmp_path / "rtl").exists()


def test_a_layer_is_chosen_by_the_beginning_of_its_name(tmp_path: Path) -> None:
    network = network_of(tmp_path, build_tflite.branching())
    machine = machine_of(tmp_path, TINY)
    assert column(network, tmp_path / "rtl", machine, options=ColumnOptions(layer="dep")).layer == "depthwise"
    for name, words in (("", "expected the whole of one of stem, "), ("nothing", "expected one of stem, ")):
        with pytest.raises(InputError) as caught:
            column(network, tmp_path / "rtl", machine, options=ColumnOptions(layer=name))
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("model", "layer", "pixels"),
    [
        (KEYWORDS, "functional_1/activation_2/", None),
        (KEYWORDS, "functional_1/activation_1/", None),
        pytest.param(
            "mobilenet_v2_1.0_224_quant.tflite", "MobilenetV2/expanded_conv_6/project", None, marks=pytest.mark.slow
        ),
        ("mobilenet_v2_1.0_224_quant.tflite", "MobilenetV2/expanded_conv_13/depthwise", 4),
    ],
)
def test_layers_of_public_networks(
    model: str, layer: str, pixels: int | None, shared: Path, iverilog: str, tmp_path: Path
) -> None:
    network = load(shared / "models" / model)
    schedule = written(random_schedule(network, "edge4"), tmp_path / "schedule.bin")
    options = ColumnOptions(layer=layer, pixels=pixels, columns=4, simulate=True)
    report = column(network, tmp_path / "rtl", schedule=schedule, options=options)
    found = report.simulation
    assert found is not None
    assert found.passed
    assert found.results == report.pixels * report.n
    assert pixels or report.pixels == report.pixels_of_layer
