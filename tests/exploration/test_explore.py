"""Explorations against direct calls of `energy`, one machine at a time."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from fewflips import SearchOptions, energy, explore, load, load_accelerator, optimize
from fewflips.api.explore import ExploreOptions
from fewflips.api.explored import machines_csv
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError
from fewflips.exploration.candidates import Machines
from fewflips.exploration.evaluate import REFERENCE_COLUMNS
from fewflips.exploration.front import dominates
from fewflips.exploration.space import Space
from fewflips.exploration.store import Store
from fewflips.simulation.run import EnergyOptions
from tests.exploration.spaces import TINY, candidates, small_model, space

SCHEMA = Path(__file__).parents[2] / "schemas" / "exploration.schema.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


def explored(model, folder, of: Space | None = None, **options):
    search = SearchOptions(
        **{name: options.pop(name) for name in ("method", "simulations", "time_limit_s") if name in options}
    )
    models = model if isinstance(model, list) else [model]
    settings = ExploreOptions(search=search, store=folder / "store.sqlite", jobs=1)
    return explore(models, of or space(), options=settings, **options).report


@pytest.fixture(scope="module")
def report(model, tmp_path_factory):
    return explored(model, tmp_path_factory.mktemp("store"))


def direct_pj(model, candidate, folder):
    """Energy of a machine of one dataflow by the functions that a user would call."""
    array, schedule, path = candidate.modes[0], None, model
    if candidate.orders != "natural":
        optimize(path, array, mode=candidate.orders, jobs=1).save(folder)
        schedule = folder / "schedule.json" if candidate.orders == "schedule" else None
        path = model if schedule else folder / "model.tflite"
    options = EnergyOptions(share=1.0, clock_mhz=candidate.clock_mhz, jobs=1)
    return energy(path, array, schedule=schedule, cells=candidate.cells, options=options)


def test_every_machine_costs_what_energy_says(model, report, tmp_path):
    for candidate in candidates(space(effort="default")):
        found = report.machines[candidate.index]
        direct = direct_pj(model, candidate, tmp_path / str(candidate.index))
        assert found.measures.critical_path_ns == pytest.approx(direct.datapath.critical_path_ps / 1000)
        exact = found.precision == "gate-level"
        assert found.measures.datapath_pj == pytest.approx(direct.total.inertial.total_pj, rel=1e-9 if exact else 0.05)


def test_machines_of_the_front_are_simulated_on_their_own_array(report):
    assert report.front
    assert {machine.precision for machine in report.front} == {"gate-level"}
    assert all(machine.measures.half_width_pj == 0 for machine in report.front)  # every cycle was simulated


def test_the_front_is_that_of_a_quadratic_loop(model, tmp_path):
    found = explored(model, tmp_path, space(objectives=["datapath_pj", "area_um2", "index_table_bits"]))
    points = {
        one.index: (one.measures.datapath_pj, one.measures.area_um2, one.measures.index_table_bits)
        for one in found.machines
    }
    expected = {i for i, point in points.items() if not any(dominates(other, point) for other in points.values())}
    assert {machine.index for machine in found.front} == expected
    assert {machine.index for machine in found.machines if machine.on_front} == expected
    energies = [machine.measures.datapath_pj for machine in found.front]
    assert energies == sorted(energies)


def test_the_whole_bill_is_that_of_energy(model, tmp_path):
    word = {"size_kib": 8, "word_bits": 32}
    buffers = {"weights": word, "activations": word, "partial_sums": word, "index_table": word}
    sizes = {"buffers.partial_sums.size_kib": [8, 32], "clock_mhz": [100, 400], "columns": [2, 16]}
    of = space(machine={**TINY["machine"], "buffers": buffers}, vary=sizes)
    found = explored(model, tmp_path, of)
    for candidate in candidates(of):
        bill = direct_pj(model, candidate, tmp_path).total.bill
        machine = found.machines[candidate.index]
        columns_are_those_of_the_estimate = candidate.modes[0].columns == REFERENCE_COLUMNS
        if machine.precision == "gate-level" or columns_are_those_of_the_estimate:
            assert machine.measures.whole_pj == pytest.approx(bill.whole_pj, rel=1e-9)
        units_pj = machine.measures.whole_pj - machine.measures.datapath_pj
        assert units_pj == pytest.approx(bill.buffers.total_pj, rel=1e-9)  # exact whatever the toggles
    assert {machine.networks[0].bill.buffers is not None for machine in found.front} == {True}


@pytest.mark.parametrize(
    "vary",
    [
        {"tiling.outputs": [None, 4], "columns": [2, 16]},
        {"datapath.hold_flags": [False, True], "orders": ["natural", "schedule"]},
        {"weights.coding": ["plain", "bus-invert"], "clock_mhz": [100, 400]},
        {"buffers.index_table.word_bits": [8, 16], "orders": ["schedule"]},
    ],
    ids=["register files", "hold flags", "coded weights", "memories of registers"],
)
def test_options_of_machines_cost_what_energy_says(model, tmp_path, vary):
    word = {"size_kib": 8, "word_bits": 32}
    table = {"size_kib": 0.125, "word_bits": 8, "source": "registers"}
    buffers = {"weights": word, "activations": word, "partial_sums": word, "index_table": table}
    of = space(machine={**TINY["machine"], "buffers": buffers}, vary=vary, effort="default")
    found = explored(model, tmp_path, of)
    assert not found.contradictions
    for candidate in candidates(of):
        bill = direct_pj(model, candidate, tmp_path / str(candidate.index)).total.bill
        machine = found.machines[candidate.index]
        if machine.precision == "gate-level" or candidate.modes[0].columns == REFERENCE_COLUMNS:
            assert machine.measures.datapath_pj == pytest.approx(bill.datapath_pj, rel=1e-9)
            assert machine.measures.whole_pj == pytest.approx(bill.whole_pj, rel=1e-6)
    assert {machine.precision for machine in found.front} == {"gate-level"}


def test_memories_that_do_not_suffice_leave_only_their_machine_out(model, tmp_path):
    word = {"size_kib": 8, "word_bits": 32, "read_pj": 5, "write_pj": 6, "leakage_uw": 0}  # one, in three places
    buffers = {"weights": word, "activations": word, "partial_sums": word}
    of = space(machine={**TINY["machine"], "buffers": buffers}, vary={"buffers.partial_sums.size_kib": [0.01, 8]})
    found = explored(model, tmp_path, of)
    (contradiction,) = found.contradictions
    assert "partial" in contradiction.reason
    assert (contradiction.machines, contradiction.example) == (1, 0)
    assert [machine.index for machine in found.machines] == [1]


def test_dropped_in_orders_are_those_of_optimize(model, tmp_path):
    of = space(vary={"orders": ["natural", "drop-in"]}, effort="default")
    natural, dropped = explored(model, tmp_path, of).machines
    direct = direct_pj(model, candidates(of)[1], tmp_path / "out")
    assert dropped.measures.datapath_pj == pytest.approx(direct.total.inertial.total_pj, rel=1e-9)
    assert dropped.measures.index_table_bits == natural.measures.index_table_bits == 0


def test_the_index_table_is_that_of_the_schedule(model, report, tmp_path):
    array = load_accelerator(TINY_MACHINE)
    summary = optimize(model, array, mode="schedule", jobs=1).report.schedule
    bits = {machine.choices["orders"]: machine.measures.index_table_bits for machine in report.machines}
    assert bits == {"natural": 0, "schedule": summary.index_table_bits}


TINY_MACHINE = next(iter(Machines(space()))).modes[0]  # type: ignore[union-attr]


def test_area_counts_shared_registers_once(report):
    """A column more adds a unit, without the weights' registers where they are broadcast."""
    areas = {
        (machine.choices["forwarding"], machine.choices["columns"]): machine.measures.area_um2
        for machine in report.machines
    }
    own = areas["systolic", "3"] - areas["systolic", "2"]
    shared = areas["broadcast", "3"] - areas["broadcast", "2"]
    assert areas["systolic", "2"] == pytest.approx(2 * own)
    registers = areas["broadcast", "2"] - 2 * shared
    assert own == pytest.approx(shared + registers)
    assert registers == pytest.approx(2 * 8 * 4.522)  # 2 lanes of 8 bits in DFF_X1


def test_several_networks_share_one_unit_and_are_weighted(tmp_path):
    models = [small_model(tmp_path, 1, "one.tflite"), small_model(tmp_path, 2, "two.tflite")]
    of = space(vary={"columns": [2, 3]}, networks={"two.tflite": 3.0})
    found = explored(models, tmp_path, of)
    for machine in found.front:
        one, two = machine.networks
        assert machine.measures.whole_pj == pytest.approx(one.whole_pj + 3 * two.whole_pj)
        assert machine.measures.cycles == one.cycles + 3 * two.cycles
    assert [best.network for best in found.best_per_network] == ["one.tflite", "two.tflite"]
    alone = [explored(model, tmp_path, space(vary={"columns": [2, 3]})) for model in models]
    assert [best.index for best in found.best_per_network] == [one.front[0].index for one in alone]


def test_each_layer_takes_the_cheaper_dataflow(tmp_path):
    model = tmp_path / "two.tflite"
    from tests.network import build_tflite

    model.write_bytes(build_tflite.branching())
    flows = ["activation-stationary", "weight-stationary"]
    found = explored(model, tmp_path, space(vary={"dataflow": [*flows, flows]}))
    by_layer = [
        energy(model, one.modes[0], options=EnergyOptions(share=1.0, jobs=1)).layers
        for one in candidates(space(vary={"dataflow": flows}))
    ]
    each = [dict(zip(flows, costs, strict=True)) for costs in zip(*by_layer, strict=True)]
    cheapest = [min(costs.items(), key=lambda cost: cost[1].inertial.total_pj) for costs in each]
    (both,) = [machine for machine in found.front if len(machine.modes) == 2]
    assert both.measures.datapath_pj == pytest.approx(sum(cost.inertial.total_pj for _, cost in cheapest), rel=1e-9)
    assert both.networks[0].dataflows == {cost.name: flow for flow, cost in cheapest}


def test_dataflows_of_different_units_contradict(model, tmp_path):
    flows = ["activation-stationary", "output-stationary"]
    found = explored(model, tmp_path, space(vary={"dataflow": [flows[0], flows]}))
    (contradiction,) = found.contradictions
    assert "expected dataflows of the same unit" in contradiction.reason
    assert (contradiction.machines, contradiction.example, found.work.evaluated) == (1, 1, 1)


def test_what_a_choice_is_worth(report):
    best = report.front[0]
    assert {(entry.dimension, entry.best) for entry in report.ablation} == set(best.choices.items())
    machines = {tuple(machine.choices.values()): machine for machine in report.machines}
    for entry in report.ablation:
        other = machines[tuple({**best.choices, entry.dimension: entry.other}.values())]
        assert entry.index == other.index
        area = 100 * (other.measures.area_um2 / best.measures.area_um2 - 1)
        assert entry.change_percent["area_um2"] == pytest.approx(area, abs=1e-9)


def test_against_a_machine(model, tmp_path):
    (tmp_path / "old.yaml").write_text(yaml.safe_dump({**TINY["machine"], "name": "old", "columns": 5}))
    found = explored(model, tmp_path, against=tmp_path / "old.yaml")
    direct = energy(model, tmp_path / "old.yaml", options=EnergyOptions(share=1.0, jobs=1)).total.inertial.total_pj
    assert found.against.baseline.measures.datapath_pj == pytest.approx(direct, rel=1e-9)
    assert found.against.times["whole_pj"] == pytest.approx(direct / found.front[0].measures.whole_pj)
    assert found.against.best == found.front[0].index


def test_constraints_leave_machines_out(model, report, tmp_path):
    middle = sorted(machine.measures.area_um2 for machine in report.machines)[3]
    found = explored(model, tmp_path, space(constraints={"area_um2": {"at_most": middle}}))
    assert {machine.index for machine in found.machines if machine.allowed} == {
        machine.index for machine in report.machines if machine.measures.area_um2 <= middle
    }
    assert all(machine.measures.area_um2 <= middle for machine in found.front)


def test_a_unit_outside_the_constraints_is_not_simulated(model, tmp_path):
    with pytest.raises(InputError, match="critical_path_ns leaves out all 8: widen them"):
        explored(model, tmp_path, space(constraints={"critical_path_ns": {"at_most": 0.01}}))


def test_a_space_without_machines(model, tmp_path):
    with pytest.raises(InputError, match=r"expected machines that can be, got none of 2: .*accumulator_bits is 8"):
        explored(model, tmp_path, space(vary={"datapath.accumulator_bits": [8, 9]}))
    with pytest.raises(InputError, match="got none of 1: lanes: Input should be"):
        explored(model, tmp_path, space(vary={"lanes": [-1]}))


def test_a_space_that_explodes(model, tmp_path):
    sizes = {"lanes": list(range(1, 400)), "columns": list(range(1, 400)), "clock_mhz": list(range(1, 400))}
    with pytest.raises(
        InputError, match=r"expected at most 100000 machines for an exhaustive search, got 63521199 \(lanes 399 x"
    ):
        explored(model, tmp_path, space(vary=sizes), method="exhaustive")


def test_an_optimizer_finds_the_front_of_a_small_space(model, report, tmp_path):
    found = explored(model, tmp_path, method="optuna")
    assert found.settings.method == "optuna"
    assert [machine.index for machine in found.front] == [machine.index for machine in report.front]
    again = explored(model, tmp_path, method="optuna")
    assert (again.work.simulations, again.machines) == (0, found.machines)


def test_an_optimizer_keeps_to_its_simulations(model, tmp_path):
    sizes = {
        "columns": list(range(1, 200)),
        "orders": ["natural", "schedule"],
        "clock_mhz": list(range(100, 800)),
        "forwarding": ["broadcast", "systolic"],
    }
    found = explored(model, tmp_path, space(vary=sizes), method="optuna", simulations=2)
    assert found.work.machines == 199 * 2 * 700 * 2
    assert 0 < found.work.evaluated < 2000
    assert found.front


def test_a_second_run_computes_nothing(model, tmp_path):
    first, second = explored(model, tmp_path), explored(model, tmp_path)
    assert first.work.layers_simulated > 0
    assert (second.work.simulations, second.work.layers_simulated) == (0, 0)
    assert second.model_copy(update={"work": first.work}) == first


def test_a_wider_space_computes_only_what_is_new(model, tmp_path):
    explored(model, tmp_path, space(vary={"columns": [2, 3]}))
    found = explored(model, tmp_path, space(vary={"columns": [2, 3], "clock_mhz": [200, 300]}))
    assert found.work.layers_found >= 2


def test_out_of_time(model, tmp_path):
    found = explored(model, tmp_path, time_limit_s=1e-6)
    assert not found.complete
    assert len(found.machines) < 8
    whole = explored(model, tmp_path)
    assert whole.complete
    assert len(whole.machines) == 8


def test_the_same_result_whatever_the_processes(model, report, tmp_path):
    options = ExploreOptions(store=tmp_path / "store.sqlite", jobs=2)
    found = explore([model], space(), options=options).report
    assert (found.machines, found.front) == (report.machines, report.front)


def test_files(model, report, tmp_path):
    options = ExploreOptions(store=tmp_path / "store.sqlite", jobs=1)
    result = explore([model], space(), options=options)
    files = {file.name: file for file in result.save(tmp_path / "out")}
    jsonschema.validate(json.loads(files["exploration.json"].read_text()), json.loads(SCHEMA.read_text()))
    for machine in report.front:
        again = load_accelerator(files[f"machine-{machine.index}.yaml"])
        assert again == machine.modes[0]
        assert natural_orders(load(model), again)


def test_csv_has_a_row_for_each_machine(report):
    rows = list(csv.DictReader(io.StringIO(machines_csv(report))))
    assert [int(row["index"]) for row in rows] == list(range(8))
    assert [float(row["whole_pj"]) for row in rows] == [machine.measures.whole_pj for machine in report.machines]
    assert [row["columns"] for row in rows] == [machine.choices["columns"] for machine in report.machines]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": {"other.tflite": 2.0}}, "other.tflite: expected one of small.tflite"),
        ({"machine": "edge5"}, "accelerator 'edge5'"),
        ({"vary": {"cells": ["nangate46"]}}, "unknown cells 'nangate46'"),
    ],
)
def test_what_does_not_exist_is_refused(model, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        explored(model, tmp_path, space(**changes))


def test_networks_of_the_same_name_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="expected files of different names, got 2"):
        explored([model, model], tmp_path)


def test_the_store_is_closed(model, tmp_path):
    explored(model, tmp_path, space(vary={"columns": [2]}))
    assert Store(tmp_path / "store.sqlite").get(["none"]) == {}
    (tmp_path / "store.sqlite").unlink()
