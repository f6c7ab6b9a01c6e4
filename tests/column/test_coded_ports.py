"""Columns whose ports are bus-invert coded: encoders behind the memories, decoders in the units."""

from __future__ import annotations

import re

import pytest

from fewflips.datapath.design import Word, WordFormat
from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.scheduled_column.testbench import run_column

from .small_layers import SIGNED8, SmallLayer

BOTH = {"bus_invert_ports": ("weights", "activations")}
LAYERS = {
    "weights": SmallLayer(n=9, k=10, pixels=4, lanes=4, unit={"bus_invert_ports": ("weights",)}),
    "activations": SmallLayer(
        n=5, k=10, pixels=8, lanes=4, columns=3, unit={"bus_invert_ports": ("activations",)}, seed=2
    ),
    "both, words wait": SmallLayer(n=2, k=12, pixels=3, lanes=4, unit=BOTH, weights=SIGNED8),
    "both, an odd width": SmallLayer(
        n=5, k=10, pixels=3, lanes=4, unit=BOTH, weights=Word(WordFormat.SIGN_MAGNITUDE, 9)
    ),
    "depthwise in tiles": SmallLayer(
        n=6, k=9, pixels=7, lanes=4, groups=6, own_activations=True, tile_rows=2, unit=BOTH
    ),
    "with hold flags": SmallLayer(
        n=6, k=10, pixels=9, lanes=4, columns=2, tile_rows=2, values=3, starts=True, unit=BOTH | {"hold_flags": True}
    ),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_results_are_right_and_wires_change_as_often_as_they_should(layer: SmallLayer, iverilog: str) -> None:
    bench = layer.bench()
    frame = f"{bench.name}_testbench.v"
    ports = layer.datapath.bus_invert_ports
    text = bench.sources[frame]
    for port in ports:
        bits = layer.lanes * getattr(layer.datapath, port).bits
        wires = f"{{device.{port}_invert[{layer.lanes - 1}:0], device.{port}[{bits - 1}:0]}}"
        text = text.replace("    initial begin", _counter(port, bits + layer.lanes, wires) + "    initial begin", 1)
        text = text.replace("        $finish;", f'        $display("{port} %0d", {port}_toggles);\n        $finish;')
    printed = simulate_verilog([*(bench.sources | {frame: text}).values()], "testbench", bench.images)
    assert f"PASS {bench.name}" in printed
    assert "differ" not in printed
    words = {"weights": layer.lane_words(), "activations": _activation_words(layer)}
    for port in ports:
        (shown,) = re.findall(rf"^{port} (\d+)$", printed, re.MULTILINE)
        sent = [words[port][word if port == "weights" else step] for step, (_, word) in enumerate(layer.visits())]
        assert int(shown) == _coded_toggles(sent, getattr(layer.datapath, port).bits)


def _counter(port: str, width: int, wires: str) -> str:
    """Counts toggles of a port's wires and flags, which are zero before the first word."""
    return (
        f"    reg [{width - 1}:0] {port}_before, {port}_changed;\n    integer {port}_toggles, {port}_bit;\n"
        f"    initial begin {port}_before = 0; {port}_toggles = 0; end\n"
        f"    always @(posedge clk) if (device.operands_valid) begin\n"
        f"        {port}_changed = {port}_before ^ {wires};\n"
        f"        for ({port}_bit = 0; {port}_bit < {width}; {port}_bit = {port}_bit + 1)\n"
        f"            {port}_toggles = {port}_toggles + {port}_changed[{port}_bit];\n"
        f"        {port}_before = {wires};\n    end\n"
    )


def _activation_words(layer: SmallLayer) -> list[list[int]]:
    """Codes on the lanes of column 0 in each cycle in which no word waits."""
    found = []
    of_word = [(one, int(n)) for one in layer.passes() for n in one.channels]
    for row, word in layer.visits():
        one, n = of_word[word]
        codes = layer.activation_codes[layer.group_of[n], row * layer.columns]
        found.append([int(codes[k]) for k in one.lanes] + [0] * (layer.lanes - len(one.lanes)))
    return found


def _coded_toggles(words: list[list[int]], bits: int) -> int:
    """Toggles by the rule of Stan and Burleson, lane by lane: invert where more than half of the wires would change."""
    toggles = 0
    for lane in zip(*words, strict=True):
        wires = flag = 0
        for word in lane:
            plain = (wires ^ word).bit_count() + flag
            if 2 * plain > bits + 1:
                toggles += bits + 1 - plain
                wires, flag = word ^ ((1 << bits) - 1), 1
            else:
                toggles += plain
                wires, flag = word, 0
    return toggles


def test_a_column_without_the_encoders_is_found(iverilog: str) -> None:
    bench = LAYERS["weights"].bench()
    name = f"{bench.name}.v"
    broken = bench.sources[name].replace(".flags(weights_invert)", ".flags()")
    assert broken != bench.sources[name]
    assert not run_column(type(bench)(bench.name, {**bench.sources, name: broken}, bench.images)).passed
