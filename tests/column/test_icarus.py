"""A scheduled column in Icarus Verilog, from its memories to its results."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.scheduled_column import verilog as column_verilog
from fewflips.datapath.scheduled_column.cycles import column_cycles
from fewflips.datapath.scheduled_column.design import column_design
from fewflips.datapath.scheduled_column.testbench import run_column
from fewflips.datapath.verilog import verilog
from fewflips.errors import InputError

from .small_layers import SIGNED8, UNSIGNED8, SmallLayer

NIBBLE, SIGNED_NIBBLE = Word(WordFormat.UNSIGNED, 4), Word(WordFormat.TWOS_COMPLEMENT, 4)
MAGNITUDE9 = Word(WordFormat.SIGN_MAGNITUDE, 9)

LAYERS = {
    "several segments, the last with idle lanes": SmallLayer(n=9, k=10, pixels=4, lanes=4),
    "one segment: no partial sum is read": SmallLayer(n=6, k=3, pixels=4, lanes=4),
    "one channel: each word waits for the one before": SmallLayer(n=1, k=17, pixels=3, lanes=4),
    "two channels: words of neighbouring segments meet": SmallLayer(n=2, k=12, pixels=3, lanes=4, seed=2),
    "three channels": SmallLayer(n=3, k=12, pixels=3, lanes=2, seed=3),
    "one lane": SmallLayer(n=5, k=3, pixels=2, lanes=1),
    "sixteen lanes": SmallLayer(n=5, k=40, pixels=2, lanes=16),
    "one pixel, one channel, one product": SmallLayer(n=1, k=1, pixels=1, lanes=2),
    "depthwise in three segments": SmallLayer(n=8, k=9, pixels=3, lanes=4, groups=8, own_activations=True),
    "depthwise, two outputs for each input": SmallLayer(n=8, k=9, pixels=3, lanes=4, groups=4, own_activations=True),
    "grouped": SmallLayer(n=6, k=10, pixels=3, lanes=4, groups=3),
    "tiles of channels": SmallLayer(n=10, k=10, pixels=3, lanes=4, outputs=4),
    "tiles of pixels": SmallLayer(n=5, k=10, pixels=8, lanes=4, tile_rows=3),
    "tiles of both, in columns": SmallLayer(n=7, k=9, pixels=17, lanes=4, columns=2, outputs=3, tile_rows=4),
    "depthwise in tiles of pixels": SmallLayer(
        n=6, k=9, pixels=7, lanes=4, groups=6, own_activations=True, tile_rows=2
    ),
    "three columns, one of them idle in the end": SmallLayer(n=5, k=10, pixels=8, lanes=4, columns=3),
    "signed": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=SIGNED8, activations=SIGNED8),
    "signed by unsigned, nibbles": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=SIGNED_NIBBLE, activations=NIBBLE),
    "sign-magnitude": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=MAGNITUDE9, activations=MAGNITUDE9),
    "preloaded sums": SmallLayer(n=5, k=10, pixels=4, lanes=4, weights=SIGNED8, starts=True),
    "preloaded sums of groups in tiles": SmallLayer(
        n=6, k=6, pixels=5, lanes=4, groups=2, starts=True, columns=2, tile_rows=2
    ),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_every_result_is_the_integer_product(layer: SmallLayer, iverilog: str) -> None:
    found = run_column(layer.bench())
    assert found.first_mismatches == ()
    assert found.passed
    assert found.results == layer.pixels * layer.n
    assert (found.cycles, _waits(layer)) == column_cycles(layer.design(), layer.passes(), layer.design().rows)


def _waits(layer: SmallLayer) -> int:
    """Cycles in which words wait, counted on a list of what is in the unit, cycle by cycle."""
    design, waits, cycle = layer.design(), 0, 0
    # Its sum is read in the cycle after its index, goes through the unit's registers of operands and of the sum, and is
    # written in one more. A register behind the tree takes the sum as much later as it gives it back.
    busy = 4 + layer.datapath.product_registers
    in_unit: list[tuple[tuple[int, int], int]] = []  # a sum, and the cycle whose end writes it
    for tile in range(0, design.rows, design.tile_rows):
        for one in layer.passes():
            for row in range(tile, min(tile + design.tile_rows, design.rows)):
                for channel in one.channels.tolist():
                    while not one.first and any(sum_ == (row, channel) and cycle < end for sum_, end in in_unit):
                        waits += 1
                        cycle += 1
                    in_unit = [*in_unit[-8:], ((row, channel), cycle + busy)]
                    cycle += 1
    return waits


UNITS = [
    {"product_registers": True},
    {"adder": "one-sum"},
    {"multiplier": "booth"},
    {"tree_register": True},
    {"offset_sums": True},
    {"tree_register": True, "offset_sums": True, "product_registers": True},
    {"adder": "bit-planes", "tree_register": True},
    {"zero_gating": True},
]


@pytest.mark.parametrize("starts", [False, True], ids=["from nothing", "preloaded"])
@pytest.mark.parametrize("options", UNITS, ids=lambda options: " and ".join(options))
def test_units_of_another_make(options: dict[str, object], starts: bool, iverilog: str) -> None:
    """Few channels, so that words meet in the unit; a grouped layer, so that its channels have other addresses."""
    layer = SmallLayer(
        n=4, k=10, pixels=5, lanes=4, groups=2, starts=starts, seed=5, columns=2, weights=SIGNED8, unit=options
    )
    found = run_column(layer.bench())
    assert found.first_mismatches == ()
    assert found.passed
    assert (found.cycles, _waits(layer)) == column_cycles(layer.design(), layer.passes(), layer.design().rows)


ACCESSES = {
    "passes": "pass_read_enable",
    "indices": "index_read_enable",
    "weights": "weight_read_enable",
    "activations": "activation_read_enable",
    "starts": "start_read_enable",
    "sums read": "sum_read_enable",
    "sums written": "sum_write_enable",
}


COLLISION = """
        if (device.sum_read_enable && device.sum_write_enable && device.sum_read_address == device.sum_write_address)
            $display("collision");
"""


@pytest.mark.parametrize("own_activations", [False, True], ids=["dense", "depthwise"])
def test_no_memory_is_accessed_more_often_than_needed(own_activations: bool, iverilog: str) -> None:
    """Not while a word waits, either; the table of passes once more, for the pass that never comes.

    And no sum is read in the cycle that writes it.
    """
    groups = 3 if own_activations else 1
    layer = SmallLayer(
        n=3, k=10, pixels=5, lanes=4, groups=groups, own_activations=own_activations, starts=True, tile_rows=2
    )
    bench = layer.bench()
    frame = f"{bench.name}_testbench.v"
    counted = "".join(
        f"        if (device.{port}) counts[{number}] = counts[{number}] + 1;\n"
        for number, port in enumerate(ACCESSES.values())
    )
    text = bench.sources[frame].replace(
        "    initial begin",
        "    integer counts [0:6], n;\n    initial for (n = 0; n < 7; n = n + 1) counts[n] = 0;\n"
        f"    always @(posedge clk) if (start || busy) begin\n{counted}{COLLISION}    end\n    initial begin",
        1,
    )
    shown = "".join(f'        $display("counted %0d", counts[{number}]);\n' for number in range(7))
    text = text.replace("        $finish;", f"{shown}        $finish;")
    printed = simulate_verilog([*(bench.sources | {frame: text}).values()], "testbench", bench.images)
    assert "PASS" in printed
    assert "collision" not in printed
    words, rows, tiles = layer.n * 3, 5, 3
    assert column_cycles(layer.design(), layer.passes(), rows)[1] > 0
    assert dict(zip(ACCESSES, map(int, re.findall(r"counted (\d+)", printed)), strict=True)) == {
        "passes": 3 * tiles + 1,
        "indices": words * rows,
        "weights": words * rows,
        "activations": (words if own_activations else 3) * rows,
        "starts": layer.n * rows,
        "sums read": 2 * layer.n * rows,
        "sums written": 2 * layer.n * rows,
    }


def test_orders_do_not_change_results_and_natural_order_needs_no_wait(iverilog: str) -> None:
    layer = SmallLayer(n=7, k=12, pixels=3, lanes=4)
    natural = [(lanes, np.sort(order)) for lanes, order in layer.segments]
    scheduled = layer.bench()
    layer.segments = natural
    assert column_cycles(layer.design(), layer.passes(), layer.design().rows)[1] == 0
    assert run_column(scheduled).passed
    assert run_column(layer.bench()).passed


def _swapped(words: list[str], first: int, second: int) -> list[str]:
    words[first], words[second] = words[second], words[first]
    return words


DAMAGES = {
    "two indices change places": ("indices", lambda words: _swapped(words, 0, 1)),
    "two indices of the last pass change places": ("indices", lambda words: _swapped(words, -1, -2)),
    "an index comes twice": ("indices", lambda words: [*words[:-1], words[-2]]),
    "two weight words change places": ("weights", lambda words: _swapped(words, 3, 5)),
    "two activation words change places": ("activations_0", lambda words: _swapped(words, 0, 2)),
    "the second pass begins the sums again": ("passes", lambda words: [words[0], words[0], words[2]]),
    "the second pass ends the pixel": ("passes", lambda words: [words[0], words[2], words[2]]),
    "no pass ends the pixel": ("passes", lambda words: [words[0], words[1], words[1]]),
    "an expected result is another": ("expected", lambda words: _swapped(words, 0, 1)),
}


@pytest.mark.parametrize(("memory", "change"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_wrong_in_a_memory_is_found(memory: str, change, iverilog: str) -> None:
    layer = SmallLayer(n=6, k=10, pixels=2, lanes=4)
    bench = layer.bench()
    name = f"{bench.name}_{memory}.hex"
    words = bench.images[name].split()
    changed = change(list(words))
    assert changed != words
    found = run_column(replace(bench, images={**bench.images, name: "\n".join(changed) + "\n"}))
    assert not found.passed
    assert found.first_mismatches or found.results != layer.pixels * layer.n


def test_a_controller_that_does_not_wait_is_found(iverilog: str) -> None:
    """So the layers above do have words that meet."""
    bench = SmallLayer(n=2, k=12, pixels=3, lanes=4, seed=2).bench()
    name = f"{bench.name}_control.v"
    hasty = bench.sources[name].replace("assign stall = s1_valid &&", "assign stall = 1'b0 &&")
    assert hasty != bench.sources[name]
    assert not run_column(replace(bench, sources={**bench.sources, name: hasty})).passed


def test_one_column_runs_layers_that_fit_its_memories(iverilog: str) -> None:
    """Nothing but the contents of the memories, and the last row, belongs to a layer."""
    large, small = SmallLayer(n=9, k=18, pixels=4, lanes=4), SmallLayer(n=5, k=9, pixels=3, lanes=4, seed=9)
    assert run_column(small.bench(large.design())).passed
    with pytest.raises(InputError, match=r"^scheduled column: the layer takes rows = 4, the column has room for 3$"):
        large.bench(small.design())


def test_a_unit_without_a_partial_sum_is_refused() -> None:
    layer = SmallLayer(n=2, k=4, pixels=1, lanes=4)
    for unit, found in (
        (replace(layer.datapath, partial_sum_input=False), "got column without one"),
        (Datapath("chain", UNSIGNED8, UNSIGNED8, 4, 26, partial_sum_input=True), "got chain with one"),
    ):
        with pytest.raises(InputError) as caught:
            column_design(unit, layer.passes(), 2, 1)
        assert found in str(caught.value)


def test_a_unit_with_other_ports_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = SmallLayer(n=2, k=4, pixels=1, lanes=4)
    more = verilog(layer.datapath).replace("    input clk,\n", "    input clk,\n    input [3:0] load,\n")
    monkeypatch.setattr(column_verilog, "verilog", lambda _: more)
    with pytest.raises(InputError, match=r"^scheduled column: its unit has ports that a column does not drive: load; "):
        layer.bench()


def test_sizes_that_contradict_are_refused() -> None:
    layer = SmallLayer(n=2, k=8, pixels=1, lanes=8)
    with pytest.raises(InputError, match=r"^scheduled column: a pass has 8 lanes, the unit 4$"):
        column_design(replace(layer.datapath, lanes=4), layer.passes(), 2, 1)
    with pytest.raises(
        InputError, match=r"^scheduled column: its memory of activations takes \d+ bits, expected at most"
    ):
        column_design(layer.datapath, layer.passes(), 2, 1 << 25)
