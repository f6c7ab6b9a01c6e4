from __future__ import annotations

import math

import numpy as np
import pytest

from fewflips.errors import InputError, ParasiticsError
from fewflips.gates.spef import Spef
from fewflips.gates.wires import WireModel, donath_length, fanout_wire_ff, fanouts, spef_wire_ff
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


def test_extracted_wires_by_name() -> None:
    wires = spef_wire_ff(NETLIST, Spef("d.spef", "circuit", {"a": 1.0, "n": 2.0, "m": 3.0, "elsewhere": 9.0}))
    assert per_net(wires) == {"1'b0": 0, "1'b1": 0, "a": 1.0, "b": 0, "n": 2.0, "m": 3.0, "z": 0, "w": 0}


def test_a_file_of_another_design() -> None:
    with pytest.raises(ParasiticsError) as caught:
        spef_wire_ff(NETLIST, Spef("d.spef", "other", {"a": 1.0, "n": 2.0, "k": 3.0}))
    assert str(caught.value) == (
        "d.spef: expected the parasitics of circuit, got those of design other, which have 2 of its 6 nets; give the "
        "SPEF and the netlist of one layout"
    )
