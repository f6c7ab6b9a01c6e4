from __future__ import annotations

from itertools import pairwise

import pytest

from fewflips.errors import AcceleratorError
from fewflips.machine import builtin_accelerators, load_accelerator

BUILTIN = {
    "edge16": ("activation-stationary", 16, 16),
    "edge8": ("activation-stationary", 8, 8),
    "edge4": ("activation-stationary", 4, 4),
    "tpu16": ("weight-stationary", 16, 16),
    "os16": ("output-stationary", 16, 16),
}


# Ten thousand million entries, were they ever written out.
ALIASES = "".join(f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in pairwise("abcdefghij"))


def test_built_in_machines():
    machines = builtin_accelerators()
    assert {name: (m.dataflow, m.lanes, m.columns) for name, m in machines.items()} == BUILTIN
    assert all(m.weights.format == m.activations.format == "as-stored" for m in machines.values())
    assert all(m.description for m in machines.values())


def test_a_machine_from_yaml(tmp_path):
    path = tmp_path / "npu.yaml"
    path.write_text(
        "name: npu\nlanes: 32\ncolumns: 8\ndataflow: output-stationary\nforwarding: systolic\n"
        "weights: {format: sign-magnitude, bits: 9}\n"
    )
    machine = load_accelerator(path)
    assert (machine.name, machine.lanes, machine.forwarding, machine.weights.bits) == ("npu", 32, "systolic", 9)
    assert machine.activations.format == "as-stored"
    assert load_accelerator(machine) is machine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nlanes: 0\ncolumns: 4", "lanes: Input should be greater than or equal to 1, got 0"),
        (
            "name: a\nlanes: 4\ncolumns: 4\ndataflow: row",
            "dataflow: Value error, expected one of activation-stationary",
        ),
        ("name: a\nlanes: 4\ncolumns: 4\nlane: 3", "lane: Extra inputs are not permitted, got 3"),
        (
            "name: a\nlanes: 4\ncolumns: 4\nweights: {bits: 40}",
            "weights.bits: Input should be less than or equal to 16",
        ),
        ("lanes: 4\ncolumns: 4", "name: Field required"),
        ("- 1\n- 2", "expected keys such as name, lanes, columns, dataflow"),
        ("a: [", "not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("name: a\nlanes: .nan\ncolumns: 4", "lanes: Input should be a"),
        ("name: a\ncolumns: 4\nlanes: 0x" + "f" * 6000, "too long to print"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + ALIASES, "name: Field required"),
    ],
)
def test_bad_descriptions_say_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(AcceleratorError) as caught:
        load_accelerator(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AcceleratorError, match="expected one of edge16, edge8, edge4, tpu16, os16 or a YAML file"):
        load_accelerator("edge17")


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AcceleratorError, match="cannot be read as UTF-8"):
        load_accelerator(path)
