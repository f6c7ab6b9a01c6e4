"""Calibration files: written, read, damaged, of other units."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fewflips.estimation
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError
from fewflips.estimation.calibration_files import (
    builtin_calibration,
    builtin_names,
    calibration_name,
    check_fits,
    datapath_of,
    read_calibration,
    write_calibration,
)
from tests.calibration import hand_made

BYTE = Word(WordFormat.UNSIGNED, 8)
SIGNED = Word(WordFormat.TWOS_COMPLEMENT, 8)
REMEDY = "make one with: fewflips calibrate MODEL --output DIR"


def test_what_is_written_is_read(tmp_path: Path):
    write_calibration(hand_made.calibration(), tmp_path / "c.json")
    assert read_calibration(tmp_path / "c.json") == hand_made.calibration()


def damaged(**changes: object) -> bytes:
    content = json.loads(hand_made.calibration().model_dump_json())
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for name in parents:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOF while parsing a value"),
        (b"\x00\xff", "expected value"),
        (b"{" * 100_000, "expected a fewflips calibration"),
        (b"[]", "valid dictionary"),
        (damaged()[:-200], "expected a fewflips calibration"),
        (damaged(format="fewflips-report"), "format: Input should be 'fewflips-calibration'"),
        (damaged(version=2), "version: Input should be 1"),
        (damaged(zero_delay=None), "zero_delay: Field required"),
        (damaged(inertial__weights__nhd=[0.5, 0.0]), "nhd: expected ascending values"),
        (damaged(inertial__weights__weighted_nhd=[0.0]), "nhd and weighted_nhd: expected as many values"),
        (damaged(inertial__first__curve_fj=[[0.0, 0.0]]), "surface: expected 2 x 2 energies"),
        (damaged(inertial__first__curve_fj=[[-1.0, 0.0], [0.0, 0.0]]), "greater than or equal to 0"),
        (damaged(zero_delay__ones_costs=[1.0, 1.0, 1.0]), "ones_costs: expected 9"),
        (damaged(zero_delay__weights__bit_costs=[1.0, 1.0, 1.0]), "bit_costs: expected 8 of weights"),
        (damaged(zero_delay__lanes=[1, 10**30]), "lanes.1: Input should be less than or equal to 4096"),
        (damaged(zero_delay__lanes=[1, 2, 3]), "lanes and lane_shares: expected as many values"),
        (damaged(inertial__factors=[1.0, 1.0, 1.0]), "mean_costs and factors: expected as many values"),
        (damaged(means__dense_rates=[0.5, 0.5]), "means: expected rates of 8 bits"),
        (damaged(means__held_ones=[0.5, 0.5, 0.0]), "held_ones: expected 9 shares"),
        (damaged(registers__weights_fj=float("nan")), "registers.weights_fj"),
        (damaged(registers__weights_fj=1e300), "registers.weights_fj: Input should be less than or equal to"),
        (damaged(inertial__factors=[1.0, 1e300]), "factors.1: Input should be less than or equal to"),
        (damaged(settings__seed=-1), "settings.seed"),
        (damaged(cells__corner="\ud800"), "hex escape"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a fewflips calibration: ")
    assert message.endswith(REMEDY)
    assert reason in message
    assert "\n" not in message


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(InputError, match=rf"none.json: cannot be read: No such file or directory; {REMEDY}$"):
        read_calibration(tmp_path / "none.json")


def test_a_calibration_of_another_unit():
    calibration = hand_made.calibration()
    unit = datapath_of(calibration.datapath)
    check_fits(calibration, unit, "c.json")
    wider = Datapath(**{**unit.__dict__, "accumulator_bits": 30})
    check_fits(calibration, wider, "c.json")
    other = Datapath("column", Word(WordFormat.TWOS_COMPLEMENT, 8), BYTE, lanes=16, partial_sum_input=True)
    message = (
        r"^c.json: made for a column4-unsigned8-unsigned8, expected column16-twos-complement8-unsigned8-partial-sum "
        r"\(lanes, weights differ\): calibrate for this model and accelerator$"
    )
    with pytest.raises(InputError, match=message):
        check_fits(calibration, other, "c.json")


def test_names_tell_units_apart():
    options = [
        {},
        {"multiplier": "booth"},
        {"product_registers": True},
        {"adder": "one-sum"},
        {"adder": "bit-planes"},
        {"partial_sum_input": True},
        {"partial_sum_input": True, "tree_register": True},
        {"partial_sum_input": True, "weights": SIGNED},
        {"partial_sum_input": True, "weights": SIGNED, "offset_sums": True},
        {"partial_sum_input": True, "weights": SIGNED, "sign_flags": True},
        {"zero_gating": True},
        {"lanes": 8},
        {"weights": Word(WordFormat.SIGN_MAGNITUDE, 8)},
        {"activations": Word(WordFormat.UNSIGNED, 9)},
    ]
    base = {"kind": "column", "weights": BYTE, "activations": BYTE, "lanes": 4}
    assert len({calibration_name(Datapath(**(base | option))) for option in options}) == len(options)


def test_units_without_a_built_in_calibration():
    assert builtin_calibration(Datapath("column", BYTE, BYTE, lanes=7)) is None


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_calibrations(name: str):
    calibration = read_calibration(Path(fewflips.estimation.__file__).parent / "tables" / f"{name}.json")
    unit = datapath_of(calibration.datapath)
    assert calibration_name(unit) == name
    assert builtin_calibration(unit) == calibration
    assert calibration.settings.command.startswith("fewflips calibrate ")
    assert calibration.network is not None
    for curves in (calibration.zero_delay, calibration.inertial):
        for surface in (curves.first, curves.later):
            for row in surface.curve_fj if surface else ():
                assert list(row) == sorted(row)
    assert calibration.network.orders[0].accuracy.inertial.median_error_percent < 10


def test_the_default_machines_have_a_calibration():
    assert "column16-unsigned8-unsigned8-partial-sum" in builtin_names()
