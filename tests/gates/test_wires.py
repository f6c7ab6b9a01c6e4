from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError, ParasiticsError
from fewflips.gates.netlist.netlist import ONE_NET, Netlist
from fewflips.gates.netlist.synthesis import synthesize
from fewflips.gates.parasitics.spef import Spef, read_spef
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.gates.parasitics.wires import WireModel, donath_length, fanout_wire_ff, fanouts, spef_wire_ff
from tests.gates.mapped_circuits import LIBRARY, circuit

# n feeds two pins and one port bit twice, a two pins, b one; z feeds nothing.
NETLIST = circuit(
    {"a": "a", "b": "b"},
    {"y": "n n"},
    [
        ("u1", "NAND2_X1", "A1=a A2=b ZN=n"),
        ("u2", "NAND2_X1", "A1=n A2=n ZN=m"),
        ("u3", "NAND2_X1", "A1=m A2=1'b1 ZN=z"),
        ("u4", "INV_X1", "A=a ZN=w"),
    ],
)


def per_net(values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(NETLIST.nets, values, strict=True)}


def test_fanout_counts_pins_and_port_bits() -> None:
    expected = {"1'b0": 0, "1'b1": 1, "a": 2, "b": 1, "n": 4, "m": 1, "z": 0, "w": 0}
    assert per_net(fanouts(NETLIST, LIBRARY)) == expected


def test_capacitance_follows_fanout() -> None:
    wires = fanout_wire_ff(NETLIST, LIBRARY, per_fanout_ff=0.5, base_ff=0.25)
    assert wires.dtype == np.float64
    assert per_net(wires) == {"1'b0": 0, "1'b1": 0, "a": 1.25, "b": 0.75, "n": 2.25, "m": 0.75, "z": 0, "w": 0}


@pytest.mark.parametrize(("per_fanout", "base"), [(-1.0, 0.0), (1.0, math.nan), (math.inf, 0.0)])
def test_capacitances_are_numbers_from_0_up(per_fanout: float, base: float) -> None:
    with pytest.raises(InputError, match="expected a number of fF from 0 up"):
        WireModel(per_fanout, base)


def test_donath_length_on_paper() -> None:
    # 16 gates, p = 0.75: 2/9 (7 (16^.25-1)/(4^.25-1) - (1-16^-.75)/(1-4^-.75)) (1-4^-.25)/(1-16^-.25)
    within = 7 * (2 - 1) / (math.sqrt(2) - 1)
    across = (1 - 1 / 8) / (1 - 1 / (2 * math.sqrt(2)))
    assert donath_length(16, 0.75) == pytest.approx(2 / 9 * (within - across) * (1 - 1 / math.sqrt(2)) / (1 - 1 / 2))
    assert donath_length(1, 0.6) == 1.0
    assert 1 < donath_length(1_000, 0.6) < donath_length(100_000, 0.6) < 10


def test_the_estimate_is_length_times_capacitance() -> None:
    area = sum(LIBRARY.cells[instance.cell].area_um2 for instance in NETLIST.instances)
    model = WireModel.estimated(NETLIST, LIBRARY, ff_per_um=0.3, utilization=0.5, rent_exponent=0.6)
    assert model.per_fanout_ff == pytest.approx(0.3 * 0.43 * donath_length(4, 0.6) * math.sqrt(area / 4 / 0.5))
    assert model.base_ff == 0
    assert "0.3 fF/µm" in model.source
    with pytest.raises(InputError, match="expected a utilization from 0 to 1"):
        WireModel.estimated(NETLIST, LIBRARY, rent_exponent=1.0)


def test_a_netlist_without_cells_has_no_wires() -> None:
    assert WireModel.estimated(circuit({"a": "a"}, {"y": "a"}, []), LIBRARY).per_fanout_ff == 0


EXTRACTED = {"a": 1.0, "b": 1.5, "n": 2.0, "m": 3.0}
PINS = {"a": {"u1:A1", "u4:A"}, "b": {"u1:A2"}, "n": {"u1:ZN", "u2:A1", "u2:A2"}, "m": {"u2:ZN", "u3:A1"}}


def spef(net_ff: dict[str, float], pins: dict[str, set[str]] | None = None, design: str = "circuit") -> Spef:
    return Spef("d.spef", design, net_ff, {net: frozenset(found) for net, found in (pins or {}).items()})


def spef_message(extracted: Spef, netlist: Netlist = NETLIST) -> str:
    with pytest.raises(ParasiticsError) as caught:
        spef_wire_ff(netlist, extracted)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pins", "design"), [(None, "circuit"), (PINS, "circuit"), (PINS, "renamed"), ({"a": PINS["a"]}, "circuit")]
)
def test_extracted_wires_by_name(pins: dict[str, set[str]] | None, design: str) -> None:
    wires = spef_wire_ff(NETLIST, spef({**EXTRACTED, "elsewhere": 9.0}, pins, design))
    assert per_net(wires) == {"1'b0": 0, "1'b1": 0, "a": 1.0, "b": 1.5, "n": 2.0, "m": 3.0, "z": 0, "w": 0}


def test_levels_of_hierarchy_in_the_netlist_and_the_file() -> None:
    gates = [("u$half.i0", "INV_X1", "A=a ZN=u$half.n"), ("u2", "INV_X1", "A=u$half.n ZN=y")]
    netlist = circuit({"a": "a"}, {"y": "y"}, gates)
    pins = {"a": {"u$half/i0:A"}, "u$half/n": {"u$half/i0:ZN", "u2:A"}, "y": {"u2:ZN"}}
    wires = spef_wire_ff(netlist, spef({"a": 1.0, "u$half/n": 2.0, "y": 3.0}, pins, "half"))
    assert dict(zip(netlist.nets, wires, strict=True))["u$half.n"] == 2.0


def test_a_file_with_other_nets() -> None:
    assert spef_message(spef({"a": 1.0, "n": 2.0, "k": 3.0}, design="other")) == (
        "d.spef: expected the wires of circuit, got those of 2 of its 4 nets, in design other; not of b, m; give the "
        "whole SPEF of the netlist's own layout"
    )


def chain(cells: int) -> Netlist:
    """Inverters in a row; n0 is the input."""
    gates = [(f"u{index}", "INV_X1", f"A=n{index} ZN=n{index + 1}") for index in range(cells)]
    return circuit({"a": "n0"}, {"y": f"n{cells}"}, gates, name="chain")


@pytest.mark.parametrize("kept", [20, 19])
def test_a_net_in_twenty_may_be_missing(kept: int) -> None:
    wires = spef_wire_ff(chain(19), spef({f"n{index}": 1.0 for index in range(kept)}, design="chain"))
    assert wires.sum() == kept


def test_a_file_that_is_cut_off_between_nets() -> None:
    message = spef_message(spef({f"n{index}": 1.0 for index in range(94)}, design="chain"), chain(99))
    assert message == (
        "d.spef: expected the wires of chain, got those of 94 of its 100 nets, in design chain; not of n94, n95, n96, "
        "n97, n98 and 1 more; give the whole SPEF of the netlist's own layout"
    )


def test_a_file_of_another_design_with_the_same_names_of_nets() -> None:
    others = {net: {pin.replace("u1:", "u9:") for pin in pins} for net, pins in PINS.items()}
    assert spef_message(spef(EXTRACTED, others)) == (
        "d.spef: expected the wires of circuit, got nets of the same names in design circuit that connect 5 of their "
        "8 pins; give the SPEF of the netlist's own layout"
    )


def test_a_file_of_another_design_without_pins() -> None:
    assert spef_message(spef(EXTRACTED, design="other")) == (
        "d.spef: expected the wires of circuit, got those of design other, without pins by which to compare them; "
        "write the SPEF with connections"
    )


def test_files_of_two_synthesized_units_do_not_fit_each_other(tmp_path: Path) -> None:
    word = Word(WordFormat.TWOS_COMPLEMENT, 4)
    units = [
        replace(synthesize(Datapath("column", word, word, lanes=lanes, accumulator_bits=10), LIBRARY), name="unit")
        for lanes in (2, 3)
    ]
    for unit, other in (units, units[::-1]):
        wires = {net: 0.5 * net for net in range(ONE_NET + 1, len(unit.nets))}
        path = tmp_path / "unit.spef"
        path.write_text(spef_text(unit, LIBRARY, wires, "test"))
        extracted = read_spef(path)
        assert spef_wire_ff(unit, extracted) == pytest.approx([0.0, 0.0, *wires.values()], abs=1e-5)
        with pytest.raises(ParasiticsError, match=r"expected the wires of unit, got (those|nets of the same names)"):
            spef_wire_ff(other, extracted)
