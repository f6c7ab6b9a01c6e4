"""Traffic of the buffers, against loop nests that are walked word by word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts.audit.memory import Traffic, layer_traffic, microjoules

from fewflips.bundled import bundled_pair
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.unit_datapath import code_widths, network_datapath
from fewflips.errors import InputError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import load
from fewflips.records.optimization import LayerResult, PortResult

SUM_BITS = 20


def layer(m: int, n: int, k: int, groups: int, repeats: int) -> LayerResult:
    port = PortResult(
        baseline_flips=0,
        optimized_flips=0,
        lower_bound=0,
        segments=1,
        proven_segments=1,
        baseline_seam_flips=0,
        optimized_seam_flips=0,
        transitions=0,
        bits=8,
        repeats=repeats,
        hops=1,
        baseline_bit_position_flips=(0,) * 8,
        optimized_bit_position_flips=(0,) * 8,
    )
    return LayerResult(
        name="layer", operator="Conv", m=m, n=n, k=k, groups=groups, macs=m * n * k, repeats=repeats, weights=port
    )


def pieces(count: int, width: int) -> list[range]:
    return [range(start, min(start + width, count)) for start in range(0, count, width)]


def activation_stationary(machine: Accelerator, m: int, n: int, k: int, depthwise: bool) -> tuple[int, int, int]:
    weights = activations = sums = 0
    segments = pieces(k, machine.lanes)
    for tile in pieces(m, machine.columns):
        for number, segment in enumerate(segments):
            activations += 0 if depthwise else len(tile) * len(segment)
            for _ in range(n):
                activations += len(tile) * len(segment) if depthwise else 0
                weights += len(segment)
                sums += len(tile) * ((number > 0) + (number < len(segments) - 1))
    return weights, activations, sums


def weight_stationary(machine: Accelerator, m: int, n: int, k: int, depthwise: bool) -> tuple[int, int, int]:
    weights = activations = sums = 0
    segments = pieces(k, machine.lanes)
    for number, segment in enumerate(segments):
        for channels in pieces(n, 1 if depthwise else machine.columns):
            weights += len(segment) * len(channels)
            for _ in range(m):
                activations += len(segment)
                sums += len(channels) * ((number > 0) + (number < len(segments) - 1))
    return weights, activations, sums


def output_stationary(machine: Accelerator, m: int, n: int, k: int, depthwise: bool) -> tuple[int, int, int]:
    weights = activations = 0
    for tile in pieces(m, machine.lanes):
        for channels in pieces(n, 1 if depthwise else machine.columns):
            for _ in range(k):
                weights += len(channels)
                activations += len(tile)
    return weights, activations, 0


WALKED = {
    "activation-stationary": activation_stationary,
    "weight-stationary": weight_stationary,
    "output-stationary": output_stationary,
}


@pytest.mark.parametrize("dataflow", WALKED)
@pytest.mark.parametrize(("m", "n", "k", "depthwise"), [(10, 7, 11, False), (9, 6, 9, True), (4, 3, 2, False)])
def test_traffic_is_that_of_the_loop_nest(dataflow, m, n, k, depthwise):
    machine = Accelerator(name="a", dataflow=dataflow, lanes=4, columns=3)
    found = layer_traffic(layer(m, n, k, n if depthwise else 1, 1), machine, SUM_BITS, 0)
    weights, activations, sums = WALKED[dataflow](machine, m, n, k, depthwise)
    assert found == Traffic(8 * weights, 8 * activations, 8 * m * n, SUM_BITS * sums)


def test_indices_are_read_with_the_weights():
    machine = Accelerator(name="a", lanes=4, columns=3)
    found = layer_traffic(layer(9, 8, 4, 1, 3), machine, SUM_BITS, 24)
    assert found.indices == 3 * 24
    assert found.partial_sums == 0


def test_other_dataflows_are_refused():
    machine = Accelerator(name="a", lanes=4, columns=3).model_copy(update={"dataflow": "row-stationary"})
    with pytest.raises(
        InputError, match="layer: expected a built-in dataflow, got row-stationary: its traffic is not known"
    ):
        layer_traffic(layer(1, 1, 1, 1, 1), machine, SUM_BITS, 0)


def test_ten_picojoules_for_64_bits():
    assert microjoules(64 * 10**6) == pytest.approx(10, rel=0.002)


@pytest.mark.parametrize("name", ["edge4", "edge8", "edge16", "tpu16", "os16"])
def test_the_bill_counts_the_same_bits(name):
    """The committed record of the audit, of the bundled network in natural order, against `Dataflow.accesses`."""
    record = json.loads((Path(__file__).parents[2] / "results" / "audit.json").read_text())
    (run,) = (
        run
        for run in record["runs"]
        if (run["network"], run["machine"], run["cells"], run["unit"])
        == ("baseline_8bit_seed0", name, "nangate45", None)
    )
    array = load_accelerator(name)
    with bundled_pair() as pair:
        network = load(pair.baseline)
    assert network.sha256 == run["model_sha256"]
    datapath, flow = network_datapath(network.layers, array), dataflow_of(array)
    found = Traffic()
    for one in network.layers:
        counted = flow.accesses(one, flow.segments(one, array), array, code_widths(one, array, datapath))
        found += Traffic(
            counted.weights.bits_read,
            counted.activations.bits_read,
            counted.results.bits_written,
            counted.partial_sums.bits_read + counted.partial_sums.bits_written,
            counted.index_table.bits_read,
        )
    assert found.by_name() == run["orders"]["natural"]["traffic_bits"]
