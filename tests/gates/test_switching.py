"""Random netlists net by net against Icarus Verilog and a plain queue of events."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fewflips.gates.netlist.checks import check_netlist
from fewflips.gates.switching import Circuit, Mode, compile_circuit, simulate
from tests.gates.icarus_reference import assert_same_toggles, icarus_toggles
from tests.gates.netlist_building import LIBRARY, Case, event_driven_toggles, random_case
from tests.property_settings import examples


def cases(repeats: bool) -> st.SearchStrategy[Case]:
    return st.builds(
        random_case,
        seed=st.integers(0, 2**32 - 1),
        gates=st.integers(1, 60),
        registers=st.integers(0, 8),
        states=st.integers(0, 4),
        repeats=st.just(repeats),
    )


def compiled_case(case: Case) -> Circuit:
    check_netlist(case.netlist, LIBRARY)
    return compile_circuit(case.netlist, LIBRARY, case.delay_steps * 10.0, 10.0)


@pytest.mark.parametrize("mode", ["zero-delay", "transport", "inertial"])
@examples(12, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(repeats=False))
def test_random_netlists_toggle_as_in_icarus(iverilog: str, mode: Mode, case: Case) -> None:
    compiled = compiled_case(case)
    ours = simulate(compiled, case.sequences, mode, windows=case.windows)
    with tempfile.TemporaryDirectory() as folder:
        theirs = icarus_toggles(Path(folder), compiled, LIBRARY, case.sequences, case.windows, mode)
    assert_same_toggles(case.netlist, ours, theirs)


@pytest.mark.parametrize("inertial", [False, True])
@examples(25, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(repeats=True))
def test_random_netlists_toggle_as_a_queue_of_events_has_it(inertial: bool, case: Case) -> None:
    ours = simulate(compiled_case(case), case.sequences, "inertial" if inertial else "transport", windows=case.windows)
    toggles, high = event_driven_toggles(case, inertial)
    assert_same_toggles(case.netlist, ours, toggles)
    assert ours.high.tolist() == high.tolist()
    assert ours.transitions == case.windows.transitions.sum()
