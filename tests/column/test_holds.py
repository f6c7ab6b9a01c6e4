"""Columns whose lanes fetch a weight only where a flag says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.api.column import ColumnOptions, column
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.accesses import CodeWidths
from fewflips.datapath.scheduled_column.testbench import ColumnBench, run_column
from fewflips.errors import InputError
from fewflips.machine import load_accelerator
from fewflips.network import load
from fewflips.schedule.file import read_schedule, schedule_orders
from tests.network import build_tflite

from .schedules import random_schedule, written
from .small_layers import SIGNED8, SmallLayer

HOLDS = {"hold_flags": True}
LAYERS = {
    "several segments, the last with idle lanes": SmallLayer(n=9, k=10, pixels=4, lanes=4, values=2, unit=HOLDS),
    "all weights are equal": SmallLayer(n=5, k=8, pixels=3, lanes=4, values=1, unit=HOLDS),
    "no weight repeats": SmallLayer(n=2, k=4, pixels=2, lanes=4, weights=SIGNED8, unit=HOLDS, seed=4),
    "one word": SmallLayer(n=1, k=3, pixels=5, lanes=4, unit=HOLDS),
    "words wait": SmallLayer(n=2, k=16, pixels=3, lanes=4, values=2, unit=HOLDS),
    "depthwise": SmallLayer(n=8, k=9, pixels=3, lanes=4, groups=8, own_activations=True, values=2, unit=HOLDS),
    "tiles of pixels": SmallLayer(n=5, k=10, pixels=8, lanes=4, tile_rows=3, values=2, unit=HOLDS),
    "tiles of both, in columns": SmallLayer(
        n=7, k=9, pixels=17, lanes=4, columns=2, outputs=3, tile_rows=4, values=2, unit=HOLDS
    ),
    "preloaded, registers everywhere": SmallLayer(
        n=6,
        k=10,
        pixels=5,
        lanes=4,
        groups=2,
        starts=True,
        columns=2,
        tile_rows=2,
        values=3,
        weights=SIGNED8,
        unit=HOLDS | {"tree_register": True, "offset_sums": True, "product_registers": True},
    ),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_results_are_right_and_fetches_are_those_of_the_flags(layer: SmallLayer, iverilog: str) -> None:
    found = run_column(layer.bench())
    assert found.first_mismatches == ()
    assert found.passed
    assert found.results == layer.pixels * layer.n
    loads = layer.loads()
    assert loads is not None
    assert found.fetched == loads.sum() * layer.design().rows
    assert layer.design().memory("weights").depth == loads.sum(axis=0).max()


def test_flags_that_say_something_else_are_found(iverilog: str) -> None:
    """A word that is fetched although it repeats gives right results; the number of fetches tells."""
    layer = SmallLayer(n=6, k=10, pixels=2, lanes=4, values=2, unit=HOLDS)
    loads = layer.loads()
    assert loads is not None
    word, lane = map(int, np.argwhere(~loads)[0])
    changed = loads.copy()
    changed[word, lane] = True
    right, wrong = layer.bench(), _with_loads(layer, changed)
    frame, rows = f"{right.name}_testbench.v", layer.design().rows
    counts = [str(rows * int(flags.sum())) for flags in (loads, changed)]
    text = wrong.sources[frame].replace(f"!= {counts[1]}", f"!= {counts[0]}")
    assert text != wrong.sources[frame]
    found = run_column(replace(wrong, sources={**wrong.sources, frame: text}))
    assert not found.passed
    assert (found.mismatches, found.results) == (0, layer.pixels * layer.n)
    # without the word in memory, a lane gets the wrong weights
    flags = f"{right.name}_flags.hex"
    found = run_column(replace(right, images={**right.images, flags: wrong.images[flags]}))
    assert not found.passed
    assert found.mismatches


def _with_loads(layer: SmallLayer, loads: np.ndarray) -> ColumnBench:
    """The testbench of a layer whose flags are others."""
    changed = replace(layer)
    changed.loads = lambda: loads  # type: ignore[method-assign]
    return changed.bench()


def test_flags_have_to_be_given_and_to_fit() -> None:
    layer = SmallLayer(n=6, k=10, pixels=2, lanes=4, values=2, unit=HOLDS)
    design = layer.design()
    with pytest.raises(InputError, match=r"^scheduled column: with hold flags, expected lanes that fetch 1 to 18 "):
        replace(design, fetches=0)
    with pytest.raises(InputError, match=r"a lane fetches \d+ weights, the column has room for 1 a lane$"):
        layer.bench(replace(design, fetches=1))
    layer.loads = lambda: None  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"expected hold flags of shape \(18, 4\), got nothing; give loads$"):
        layer.bench(design)


MACHINE = "name: holding\nlanes: 3\ncolumns: 2\ndatapath: {hold_flags: true}\nweights: {bits: 8}\n"


@pytest.mark.parametrize("tiling", ["", "tiling: {pixels: 3}\n"], ids=["rows", "tiles"])
@pytest.mark.parametrize("layer_name", ["stem", "second"])
def test_the_bill_counts_what_is_fetched(layer_name: str, tiling: str, iverilog: str, tmp_path: Path) -> None:
    """All pixels, in as many columns as the machine has: flags and weights of the simulation are those of the bill."""
    path, yaml = tmp_path / "branching.tflite", tmp_path / "machine.yaml"
    path.write_bytes(build_tflite.branching())
    yaml.write_text(MACHINE + tiling)
    network, array = load(path), load_accelerator(yaml)
    schedule = written(random_schedule(network, yaml), tmp_path / "schedule.bin")
    options = ColumnOptions(layer=layer_name, columns=array.columns, simulate=True)
    report = column(path, tmp_path / "rtl", schedule=schedule, options=options)
    layer = next(layer for layer in network.layers if layer.name == report.layer)
    segments = schedule_orders(read_schedule(schedule), network)[layer.name]
    counted = dataflow_of(array).accesses(layer, segments, array, CodeWidths(8, 8, 26)).weights.bits_read
    assert report.simulation is not None
    assert report.simulation.passed
    assert report.holds is not None
    assert report.simulation.fetched == report.holds.fetched
    assert report.holds.held > 0
    assert report.holds.flags + 8 * report.simulation.fetched == counted
