"""Spaces as YAML: what they hold, what contradicts itself, what is refused."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

from fewflips.errors import InputError
from fewflips.exploration.candidates import Candidate, Contradiction, Machines
from fewflips.exploration.space import Constraint, Space, load_space
from tests.exploration.spaces import TINY, candidates, space


def written(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return path


def test_every_combination_is_a_machine():
    values = product((2, 3), ("broadcast", "systolic"), ("natural", "schedule"))
    found = candidates(space())
    assert [(one.modes[0].columns, one.modes[0].forwarding, one.orders) for one in found] == list(values)
    assert [one.index for one in found] == list(range(8))


def test_numbers_and_choices_belong_together():
    machines = Machines(space(vary={"lanes": [1, 2, 3], "columns": [1, 2], "orders": ["natural", "schedule"]}))
    for index in range(machines.count):
        digits = machines.digits_of(index)
        assert machines.index_of(digits) == index
        assert machines.candidate(digits).index == index


def test_any_key_of_a_machine_may_vary():
    varied = {
        "datapath.product_registers": [False, True],
        "weights.format": ["as-stored", "sign-magnitude"],
        "tiling.outputs": [None, 4],
    }
    found = candidates(space(vary=varied))
    got = [
        (m.datapath.product_registers, m.weights.format.value, m.tiling.outputs) for m in (c.modes[0] for c in found)
    ]
    assert got == list(product((False, True), ("as-stored", "sign-magnitude"), (None, 4)))


def test_named_values_give_several_keys():
    unit = {"plain": {}, "fast": {"datapath.product_registers": True, "clock_mhz": 500}}
    plain, fast = candidates(space(vary={"unit": unit}))
    assert (plain.modes[0].datapath.product_registers, plain.clock_mhz) == (False, 200)
    assert (fast.modes[0].datapath.product_registers, fast.clock_mhz) == (True, 500)
    assert (plain.labels, fast.labels) == ({"unit": "plain"}, {"unit": "fast"})


def test_a_key_may_lie_in_a_list():
    level = {"name": "dram", "size_kib": 1024, "word_bits": 64}
    word = {"size_kib": 8, "word_bits": 32}
    base = {**TINY["machine"], "buffers": {"weights": word, "activations": word, "beyond": [level]}}
    found = candidates(space(machine=base, vary={"buffers.beyond.0.size_kib": [512, 2048]}))
    sizes = [one.modes[0].buffers.beyond[0].size_kib for one in found if one.modes[0].buffers]
    assert sizes == [512, 2048]


def test_a_machine_may_have_several_dataflows():
    flows = ["weight-stationary", ["activation-stationary", "weight-stationary"]]
    one, both = candidates(space(vary={"dataflow": flows}))
    assert [mode.dataflow for mode in one.modes] == ["weight-stationary"]
    assert [mode.dataflow for mode in both.modes] == ["activation-stationary", "weight-stationary"]


def test_contradictions_say_why():
    machines = Machines(space(vary={"lanes": [0, 2], "orders": ["natural", "sideways"]}))
    found = list(machines)
    assert [type(one) for one in found] == [Contradiction, Contradiction, Candidate, Contradiction]
    assert "lanes: Input should be greater than or equal to 1" in str(found[0])
    assert "orders: expected natural, schedule, drop-in, got 'sideways'" in str(found[3])


def test_a_schedule_needs_an_index_table():
    word = {"size_kib": 8, "word_bits": 32}
    base = {**TINY["machine"], "buffers": {"weights": word, "activations": word}}
    natural, schedule = Machines(space(machine=base, vary={"orders": ["natural", "schedule"]}))
    assert isinstance(natural, Candidate)
    assert "expected an index table for the orders of a schedule, got none" in str(schedule)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vary: {}\n", "vary: Dictionary should have at least 1 item"),
        ("vary: {lanes: []}\n", "vary.lanes"),
        ("vary: {lnes: [1]}\n", "expected a key of a machine or orders, cells, clock_mhz, got lnes"),
        ("vary: {lanes: [1]}\nobjectives: [beauty]\n", "objectives.0"),
        ("vary: {lanes: [1]}\nobjectives: [slack_ns]\n", "slack_ns is better the larger it is"),
        ("vary: {lanes: [1]}\nobjectives: [area_um2, area_um2]\n", "expected each once"),
        ("vary: {lanes: [1]}\nconstraints: {area_um2: {}}\n", "expected at_most, at_least or both"),
        ("vary: {lanes: [1]}\nconstraints: {area_um2: {at_most: 1, at_least: 2}}\n", "at_least up to at_most"),
        ("vary: {lanes: [1]}\nnetworks: {a.tflite: 0}\n", "networks.a.tflite"),
        ("vary: {lanes: [1], unit: {a: {lanes: 2}}}\n", "lanes is given by both lanes and unit"),
        ("- lanes\n", "expected keys such as machine, vary, objectives"),
        ("vary: [\n", "not valid YAML"),
    ],
)
def test_bad_spaces_are_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(InputError) as refused:
        load_space(written(tmp_path, text))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_equal_values_are_refused():
    with pytest.raises(InputError, match="lanes: expected different values, got 2 2 times"):
        Machines(space(vary={"lanes": [2, 2]}))


def test_files_are_relative_to_the_space(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nlanes: 3\ncolumns: 5\n")
    (tmp_path / "own.lib").write_text("")
    found = load_space(written(tmp_path, "machine: mine.yaml\nvary: {cells: [own.lib, nangate45], lanes: [4]}\n"))
    assert found.vary["cells"] == [str(tmp_path / "own.lib"), "nangate45"]
    assert candidates(found)[0].modes[0].columns == 5


def test_a_missing_space_is_an_error(tmp_path):
    with pytest.raises(InputError, match="expected a YAML file with a space of machines, got no such file"):
        load_space(tmp_path / "none.yaml")


def test_limits():
    limit = Constraint(at_most=10, at_least=5)
    assert [limit.allows(value) for value in (4, 5, 10, 11)] == [False, True, True, False]
    assert [limit.excess(value) for value in (4, 7, 15)] == [0.2, 0.0, 0.5]


def test_a_space_of_any_size_is_counted():
    sizes = Machines(Space.model_validate({"vary": {"columns": list(range(1, 11)), "lanes": list(range(1, 101))}}))
    assert sizes.count == 1000


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "machines"), [("first", 16), ("columns", 1080)])
def test_spaces_of_the_documentation_hold_machines(name, machines):
    found = candidates(load_space(DOCS / "spaces" / f"{name}.yaml"))
    assert len(found) == machines
    assert len({tuple(one.labels.values()) for one in found}) == machines


def test_the_page_shows_the_first_space():
    page = (DOCS / "explore.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((DOCS / "spaces" / "first.yaml").read_text(encoding="utf-8"))
