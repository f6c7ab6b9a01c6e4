"""Columns that subtract the products of words that stream negated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.api.column import ColumnOptions, column
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import CodeWidths
from fewflips.dataflows.orders import natural_orders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.design import Word, WordFormat
from fewflips.datapath.scheduled_column.testbench import column_bench, run_column
from fewflips.errors import AcceleratorError, InputError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import load
from fewflips.schedule.executor import reference_product
from fewflips.schedule.file import build_schedule
from fewflips.simulation.column_layer import column_layer
from tests.network import build_tflite

from .schedules import written
from .small_layers import SIGNED8, SmallLayer

SIGNS = {"sign_flags": True}
EVERYTHING = SIGNS | {"hold_flags": True, "bus_invert_ports": ("weights", "activations")}
MAGNITUDE9 = Word(WordFormat.SIGN_MAGNITUDE, 9)
LAYERS = {
    "two's complement": SmallLayer(n=9, k=10, pixels=4, lanes=4, weights=SIGNED8, unit=SIGNS),
    "sign-magnitude": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=MAGNITUDE9, activations=MAGNITUDE9, unit=SIGNS),
    "words wait": SmallLayer(n=2, k=12, pixels=3, lanes=4, weights=SIGNED8, unit=SIGNS, seed=2),
    "depthwise in tiles": SmallLayer(
        n=6, k=9, pixels=7, lanes=4, groups=6, own_activations=True, tile_rows=2, weights=SIGNED8, unit=SIGNS
    ),
    "bit planes": SmallLayer(
        n=5, k=10, pixels=4, lanes=4, weights=SIGNED8, unit=SIGNS | {"adder": "bit-planes", "offset_sums": True}
    ),
    "offset": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=SIGNED8, unit=SIGNS | {"offset_sums": True}),
    "registers everywhere, offset, preloaded": SmallLayer(
        n=6,
        k=10,
        pixels=5,
        lanes=4,
        groups=2,
        columns=2,
        starts=True,
        weights=SIGNED8,
        unit=SIGNS | {"tree_register": True, "offset_sums": True, "product_registers": True},
    ),
    "hold flags": SmallLayer(
        n=7, k=9, pixels=9, lanes=4, tile_rows=2, weights=SIGNED8, values=2, unit=SIGNS | {"hold_flags": True}
    ),
    "everything": SmallLayer(
        n=6,
        k=10,
        pixels=9,
        lanes=4,
        columns=2,
        tile_rows=2,
        starts=True,
        weights=SIGNED8,
        values=3,
        unit=EVERYTHING | {"tree_register": True, "offset_sums": True},
    ),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_every_result_is_that_of_the_words_as_they_are(layer: SmallLayer, iverilog: str) -> None:
    found = run_column(layer.bench())
    assert found.first_mismatches == ()
    assert found.passed
    assert found.results == layer.pixels * layer.n
    assert layer.negated is not None
    assert 0 < np.concatenate(layer.negated).mean() < 1


def test_a_flag_that_is_wrong_is_found(iverilog: str) -> None:
    bench = LAYERS["two's complement"].bench()
    name = f"{bench.name}_flags.hex"
    words = bench.images[name].split()
    words[3] = "1" if words[3] == "0" else "0"
    assert not run_column(replace(bench, images={**bench.images, name: "\n".join(words) + "\n"})).passed


def test_flags_without_a_unit_for_them_are_refused() -> None:
    layer = SmallLayer(n=3, k=8, pixels=2, lanes=4, weights=SIGNED8)
    layer.negated = [np.ones(len(order), dtype=np.bool_) for _, order in layer.segments]
    with pytest.raises(InputError, match=r"expected words that do not stream negated, its unit has no sign flags$"):
        layer.bench()


MACHINE = (
    "name: signed\nlanes: 3\ncolumns: 2\nweights: {format: twos-complement, coding: bus-invert}\n"
    "activations: {format: twos-complement, coding: bus-invert}\ntiling: {pixels: 3}\n"
    "datapath: {sign_flags: true, hold_flags: true, tree_register: true, offset_sums: true}\n"
)


def flipped(network, array: Accelerator, seed: int = 0) -> dict[str, tuple[Segment, ...]]:
    """Segments in random orders whose words stream negated where they can."""
    generator = np.random.default_rng(seed)
    found = {}
    for layer in network.layers:
        segments = []
        for one in natural_orders(network, array)[layer.name]:
            order = generator.permutation(one.order)
            values = layer.weights[np.ix_(order, one.lanes)].astype(np.int64) - layer.weight_zero_points[order, None]
            able = (values != -128).all(axis=1)
            segments.append(Segment(one.lanes, order, able & (generator.random(len(order)) < 0.5)))
        found[layer.name] = tuple(segments)
    return found


def test_the_bill_counts_the_flags_of_words_and_lanes(tmp_path: Path) -> None:
    path, yaml = tmp_path / "branching.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.branching())
    yaml.write_text(MACHINE)
    network, array = load(path), load_accelerator(yaml)
    orders, datapath = flipped(network, array), network_datapath(network.layers, array)
    for layer in network.layers:
        rows = np.zeros((layer.groups, layer.m, layer.k), dtype=np.int8)
        run = column_layer(layer, rows, orders[layer.name], array, datapath, columns=array.columns)
        counted = dataflow_of(array).accesses(layer, orders[layer.name], array, CodeWidths(8, 8, 26)).weights.bits_read
        assert run.holds is not None
        words = sum(len(one.order) for one in orders[layer.name] if one.sign_flags.any())  # others need no flags
        assert run.holds.flags + run.design.rows * words + 8 * run.holds.fetched == counted


@pytest.mark.parametrize("form", ["schedule.bin", "schedule.json"])
def test_the_flags_of_a_schedule(form: str, iverilog: str, tmp_path: Path) -> None:
    path, yaml = tmp_path / "branching.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.branching())
    yaml.write_text(MACHINE)
    network, array = load(path), load_accelerator(yaml)
    schedule = written(build_schedule(network, array, flipped(network, array)), tmp_path / form)
    options = ColumnOptions(layer="second", columns=2, preload=True, simulate=True)
    report = column(path, tmp_path / "rtl", schedule=schedule, options=options)
    assert report.simulation is not None
    assert report.simulation.passed
    assert 0 < report.negated < report.words
    assert report.notes[-1] == "Results carry the offset of the machine's sums."


def test_a_whole_layer_of_a_public_network_with_everything(shared: Path, iverilog: str, tmp_path: Path) -> None:
    path, yaml = shared / "models" / "mlperf_tiny_kws_dscnn_int8.tflite", tmp_path / "machine.yaml"
    yaml.write_text(MACHINE.replace("lanes: 3\ncolumns: 2", "lanes: 4\ncolumns: 4"))
    network, array = load(path), load_accelerator(yaml)
    schedule = written(build_schedule(network, array, flipped(network, array)), tmp_path / "schedule.bin")
    options = ColumnOptions(layer="functional_1/activation_2/", columns=4, preload=True, simulate=True)
    report = column(path, tmp_path / "rtl", schedule=schedule, options=options)
    assert report.simulation is not None
    assert report.simulation.passed
    assert report.pixels == report.pixels_of_layer
    assert report.simulation.results == report.pixels * report.n
    assert report.holds is not None
    assert report.simulation.fetched == report.holds.fetched
    assert report.negated > 0


def test_layers_of_a_network_with_everything(iverilog: str, tmp_path: Path) -> None:
    path, yaml = tmp_path / "branching.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.branching())
    yaml.write_text(MACHINE)
    network, array = load(path), load_accelerator(yaml)
    orders = flipped(network, array)
    for layer in network.layers:
        rows = np.random.default_rng(1).integers(-128, 128, (layer.groups, 7, layer.k)).astype(np.int8)
        datapath = network_datapath(network.layers, array)
        run = column_layer(layer, rows, orders[layer.name], array, datapath, columns=2, preload=True)
        found = run_column(column_bench(run.design, run.passes, run.codes, run.expected))
        assert found.first_mismatches == ()
        assert found.passed
        assert layer.bias is not None
        (products,) = reference_product(layer, rows, layer.activation_zero_point or 0)
        assert np.array_equal(run.expected, products + layer.bias.load(layer.n))
    yaml.write_text(MACHINE.replace("sign_flags: true, ", ""))
    plain = load_accelerator(yaml)
    with pytest.raises(AcceleratorError, match=r"stream negated, and the machine's units have no sign flags"):
        column_layer(layer, rows, orders[layer.name], plain, network_datapath(network.layers, plain))
