"""A machine with tiles through optimize, measure and verify."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from fewflips.api.measure import measure
from fewflips.api.optimize import optimize
from fewflips.api.verify import verify
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Tiling
from fewflips.network import load
from fewflips.optimization.channel_orders import drop_in_certificates, plan_channels
from fewflips.ordering import Effort
from fewflips.schedule.file import build_schedule, read_schedule, schedule_orders
from tests.layers import dense_layer, depthwise_layer
from tests.network import build_tflite as small
from tests.test_dropin import random_weights, residual
from tests.test_schedule import network_of, segment, shuffled_orders

TILED = Accelerator(name="tiled", lanes=4, columns=3, tiling=Tiling(outputs=5, pixels=2))


def flips_of_tiles(words: np.ndarray, lanes: int, outputs: int) -> int:
    """Flips within passes of codes (N, K) in natural order, tile by tile."""
    size = outputs if words.shape[1] > lanes else len(words)
    steps = [n for n in range(1, len(words)) if n % size]
    return sum(int(words[n, k] ^ words[n - 1, k]).bit_count() for n in steps for k in range(words.shape[1]))


def test_orders_stay_within_their_tiles_and_gains_are_counted_there(tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(small.branching())
    result = optimize(path, TILED, seed=1, jobs=1)
    result.save(tmp_path / "out")
    for file, which in ((path, "baseline_flips"), (tmp_path / "out" / "model.tflite", "optimized_flips")):
        network = load(file)
        for layer, counted, measured in zip(
            network.layers, result.report.layers, measure(file, TILED).layers, strict=True
        ):
            words = layer.weights.view(np.uint8).astype(int)
            outputs = layer.n if layer.is_depthwise else layer.n // layer.groups
            groups = [words[first : first + outputs] for first in range(0, layer.n, outputs)]
            flips = sum(flips_of_tiles(group, 4, 5) for group in groups)
            assert getattr(counted.drop_in.weights, which) == measured.weights.flips == flips
            assert counted.drop_in.weights.lower_bound <= flips
    assert result.report.totals.weights.reduction > 1

    schedule = read_schedule(tmp_path / "out" / "schedule.json")
    orders = schedule_orders(schedule, load(path))
    for layer, counted in zip(load(path).layers, result.report.layers, strict=True):
        words, flips = layer.weights.view(np.uint8).astype(int), 0
        for part in orders[layer.name]:
            assert layer.k <= 4 or len(part.order) <= 5
            flips += flips_of_tiles(words[np.ix_(part.order, part.lanes)], 4, len(part.order))
        assert counted.weights.optimized_flips == flips
    assert verify(path, tmp_path / "out" / "schedule.json").check.passed


@pytest.mark.parametrize("outputs", [2, 3, 4])
def test_a_drop_in_may_choose_the_tiles_itself(outputs: int):
    array = Accelerator(name="tiled", lanes=2, columns=4, tiling=Tiling(outputs=outputs))
    first = random_weights(6, 3, 1)
    network = residual(first, first, rows=(4, 4))
    words = first.view(np.uint8).astype(int)
    best = min(flips_of_tiles(words[list(order)], 2, outputs) for order in permutations(range(6)))
    (certificate, *_) = drop_in_certificates(
        network, array, {"a": best, "b": best, "y": 0}, effort=Effort.default(), seed=0, jobs=1
    ).values()
    assert 0 < certificate.lower_bound <= best
    inside = min(  # the bound of orders within the tiles that the file has is no bound of the drop-in
        flips_of_tiles(words[[*left, *right]], 2, outputs)
        for left in permutations(range(outputs))
        for right in permutations(range(outputs, 6))
    )
    assert inside > best
    (order,) = plan_channels(network, array, effort=Effort.default(), seed=0, jobs=1).orders.values()
    assert flips_of_tiles(words[order], 2, outputs) < flips_of_tiles(words, 2, outputs)


def test_a_schedule_with_tiles_survives_its_file(tmp_path: Path):
    network = network_of(dense_layer(5, 9, 11), dense_layer(4, 12, 7, groups=2), depthwise_layer(6, 7, (3, 3)))
    orders = shuffled_orders(network, TILED)
    path = tmp_path / "schedule.json"
    path.write_text(build_schedule(network, TILED, orders).model_dump_json())
    again = schedule_orders(read_schedule(path), network)
    for name, segments in again.items():
        assert [s.order.tolist() for s in segments] == [s.order.tolist() for s in orders[name]]


@pytest.mark.parametrize(
    ("tiling", "segments", "message"),
    [
        (Tiling(outputs=2), (segment([0, 1], [0, 1, 2]), segment([2], [0, 1, 2])), "a tile of 3 output channels"),
        (
            Tiling(outputs=2),
            (segment([0, 1], [0, 1]), segment([0, 1], [2]), segment([2], [0, 1]), segment([2], [2])),
            "before its sums are complete",
        ),
        (
            Tiling(outputs=3),
            (segment([0, 1], [0, 1, 2]), segment([2], [0, 1]), segment([2], [2])),
            "before its sums are complete",
        ),
    ],
)
def test_a_schedule_that_leaves_a_tile_early_is_refused(tiling: Tiling, segments: tuple, message: str):
    network = network_of(dense_layer(5, 3, 3))
    orders = {"layer0": segments}
    untiled = Accelerator(name="two lanes", lanes=2, columns=1)
    tiled = untiled.model_copy(update={"tiling": tiling})
    assert schedule_orders(build_schedule(network, untiled, orders), network)
    with pytest.raises(InputError, match=message):
        schedule_orders(build_schedule(network, tiled, orders), network)


LARGE = {"size_kib": 64, "word_bits": 32}
BUFFERS = {"weights": LARGE, "activations": LARGE, "index_table": LARGE}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"tiling": {"outputs": 0}}, "tiling.outputs"),
        ({"tiling": {"pixels": 0}}, "tiling.pixels"),
        ({"tiling": {"outputs": 8}, "dataflow": "weight-stationary"}, "got weight-stationary: leave tiling out"),
        ({"tiling": {"pixels": 2}, "dataflow": "output-stationary"}, "got output-stationary: leave tiling out"),
        ({"tiling": {"outputs": 512, "pixels": 8}, "buffers": BUFFERS}, "got 4096 entries of"),
        ({"tiling": {"pixels": 8}, "buffers": BUFFERS}, "has no buffer for them: describe buffers.partial_sums"),
        (
            {
                "tiling": {"pixels": 64},
                "buffers": {**BUFFERS, "partial_sums": {"size_kib": 0.1, "word_bits": 32, "read_pj": 1, "write_pj": 1}},
            },
            "its partial sums that are not complete",
        ),
    ],
)
def test_tilings_that_no_machine_has_are_refused_in_one_line(
    tmp_path: Path, monkeypatch, capsys, content: dict, message: str
):
    model, machine = tmp_path / "model.tflite", tmp_path / "machine.yaml"
    model.write_bytes(small.branching())
    machine.write_text(json.dumps({"name": "odd", "lanes": 4, "columns": 4, **content}))
    command = ["fewflips", "energy", model, "--accelerator", machine]
    monkeypatch.setattr("sys.argv", list(map(str, command)))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
