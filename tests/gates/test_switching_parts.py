"""Switching by hand-sized examples: counts worked out on paper, windows, packing, waveforms, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import InputError, NetlistError
from fewflips.gates.liberty.functions import truth_table
from fewflips.gates.operands import OperandSequences, PortRows, Windows
from fewflips.gates.switching import Circuit, compile_circuit, cut_windows, simulate, waveforms
from fewflips.gates.switching.cutting import pieces
from fewflips.gates.switching.functions import Function, match
from fewflips.gates.switching.packing import row_chunks
from tests.gates.mapped_circuits import LIBRARY, circuit

START = np.zeros(1, dtype=np.int64)


def bits(*rows: int, delay: int = 0) -> PortRows:
    return PortRows(np.array(rows, dtype=np.uint8)[:, None], 1, START, 1, delay=delay)


def one_sequence(cycles: int, registers: dict[str, PortRows] | None = None, **inputs: PortRows) -> OperandSequences:
    return OperandSequences(np.array([cycles]), START, inputs, registers or {})


# y = a xor (a delayed by two inverters): a pulse as long as the inverters take, unless the gate is slower than that.
PULSE = circuit(
    {"a": "a"},
    {"y": "y"},
    [("i1", "INV_X1", "A=a ZN=p"), ("i2", "INV_X1", "A=p ZN=q"), ("x", "XOR2_X1", "A=a B=q Z=y")],
)
TOGGLER = circuit(
    {"clk": "clk", "a": "a"},
    {"state": "q"},
    [("x", "XOR2_X1", "A=a B=q Z=d"), ("r", "DFF_X1", "D=d CK=clk Q=q")],
)


def pulse_circuit(gate_steps: int) -> Circuit:
    delays = {"p": 20.0, "q": 30.0, "y": 10.0 * gate_steps}
    return compile_circuit(PULSE, LIBRARY, np.array([delays.get(net, 0.0) for net in PULSE.nets]))


@pytest.mark.parametrize(("gate_steps", "toggles"), [(1, 6), (4, 6), (5, 6), (6, 0), (7, 0)])
def test_a_pulse_passes_a_gate_that_is_not_slower(gate_steps: int, toggles: int) -> None:
    """The pulse is 5 steps long; a change that ends it just when it arrives comes too late to swallow it."""
    counted = simulate(pulse_circuit(gate_steps), one_sequence(5, a=bits(0, 1, 1, 0, 1)), "inertial")
    assert dict(zip(PULSE.nets, counted.toggles.tolist(), strict=True))["y"] == toggles


def test_transport_lets_every_pulse_pass_and_zero_delay_none() -> None:
    operands = one_sequence(5, a=bits(0, 1, 1, 0, 1))
    transport = simulate(pulse_circuit(7), operands, "transport")
    settled = simulate(pulse_circuit(7), operands, "zero-delay")
    assert transport.toggles.tolist() == [0, 0, 3, 3, 3, 6]
    assert settled.toggles.tolist() == [0, 0, 3, 3, 3, 0]
    assert settled.high.tolist() == transport.high.tolist() == [0, 4, 3, 1, 3, 0]


def test_a_register_with_feedback_takes_its_contents_from_the_rows() -> None:
    compiled = compile_circuit(TOGGLER, LIBRARY)
    operands = one_sequence(5, {"state": bits(0, 1, 1, 0, 1)}, a=bits(1, 0, 1, 1, 0))
    counted = simulate(compiled, operands, "zero-delay")
    assert dict(zip(TOGGLER.nets, counted.toggles.tolist(), strict=True)) == {
        "1'b0": 0, "1'b1": 0, "clk": 0, "a": 3, "q": 3, "d": 2
    }  # fmt: skip


def test_wrong_contents_of_a_register_are_found() -> None:
    compiled = compile_circuit(TOGGLER, LIBRARY)
    operands = one_sequence(5, {"state": bits(0, 1, 1, 1, 1)}, a=bits(1, 0, 1, 1, 0))
    for mode in ("zero-delay", "inertial"):
        with pytest.raises(NetlistError) as caught:
            simulate(compiled, operands, mode)
        assert str(caught.value) == (
            "netlist circuit: the register r (shown at state) does not hold what the netlist computes in 2 cycles; "
            "give the contents that belong to these operands"
        )
        assert simulate(compiled, operands, mode, check_registers=False).transitions == 4


def test_a_window_counts_its_own_transitions() -> None:
    operands = one_sequence(5, a=bits(0, 1, 1, 0, 1))
    windows = Windows(np.array([0, 0]), np.array([2, 4]), np.array([2, 1]))
    counted = simulate(pulse_circuit(1), operands, "zero-delay", windows=windows)
    assert (counted.toggles[2], counted.high[2], counted.transitions) == (2, 2, 3)


def test_sums_of_parts_are_the_whole() -> None:
    operands = one_sequence(400, a=bits(*np.random.default_rng(1).integers(0, 2, 400)))
    compiled = pulse_circuit(2)
    whole = simulate(compiled, operands, "inertial")
    first, rest = (
        simulate(compiled, operands, "inertial", windows=Windows(np.array([0]), np.array([begin]), np.array([length])))
        for begin, length in ((1, 150), (151, 249))
    )
    assert np.array_equal((first + rest).toggles, whole.toggles)


def test_progress_comes_to_its_end() -> None:
    told: list[tuple[str, int, int]] = []
    operands = one_sequence(40_000, a=bits(*[0, 1] * 20_000))
    simulate(pulse_circuit(1), operands, "zero-delay", progress=lambda *step: told.append(step))
    assert told[-1] == ("simulating switching (zero-delay)", 39_999, 39_999)
    assert len(told) > 2


@pytest.mark.parametrize("mode", ["zero-delay", "transport", "inertial"])
def test_waveforms_hold_the_toggles_that_are_counted(mode) -> None:
    compiled = pulse_circuit(4)
    operands = one_sequence(50, a=bits(*np.random.default_rng(2).integers(0, 2, 50)))
    window = Windows(np.array([0]), np.array([3]), np.array([40]))
    changes = waveforms(compiled, operands, window, mode)
    counted = simulate(compiled, operands, mode, windows=window)
    assert np.bincount(changes.nets, minlength=len(PULSE.nets)).tolist() == counted.toggles.tolist()
    values = changes.initial.copy()
    for net, value in zip(changes.nets, changes.values, strict=True):
        assert values[net] != value
        values[net] = value
    assert changes.window_cycles == 40
    assert changes.cycles.max() < 40
    assert (mode == "zero-delay") == (changes.steps.max() == 0)


def test_waveform_of_one_pulse() -> None:
    changes = waveforms(
        pulse_circuit(4),
        one_sequence(3, a=bits(0, 0, 1)),
        Windows(np.array([0]), np.array([2]), np.array([1])),
        "inertial",
        nets=np.array([PULSE.nets.index("y")]),
    )
    assert changes.initial.tolist() == [0, 1, 0, 1, 0, 0]
    assert (changes.steps.tolist(), changes.values.tolist()) == ([4, 9], [1, 0])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6).filter(lambda cycles: max(cycles) > 1), st.integers(1, 20))
def test_windows_cover_every_transition_once(cycles: list[int], lanes: int) -> None:
    windows = cut_windows(np.array(cycles), lanes)
    covered = [np.zeros(count, dtype=int) for count in cycles]
    for sequence, first, count in zip(windows.sequence, windows.first, windows.transitions, strict=True):
        covered[sequence][first : first + count] += 1
    assert all((part[1:] == 1).all() and part[0] == 0 for part in covered)
    assert windows.transitions.max() <= -(-sum(count - 1 for count in cycles) // lanes)
    assert len(pieces(windows, lanes).sequence) == len(windows.sequence)


@given(st.integers(1, 64), st.integers(1, 5), st.data())
def test_rows_become_chunks(width: int, lanes: int, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 2**width - 1), min_size=lanes, max_size=lanes))
    signed = np.array([[code - 2**64 if code >= 2**63 else code for code in codes]], dtype=np.int64)
    packed = row_chunks(signed, width)
    whole = sum(code << (lane * width) for lane, code in enumerate(codes))
    assert [int(word) for word in packed[0]] == [whole >> 64 * i & 2**64 - 1 for i in range(packed.shape[1])]


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        ("!a", Function.COPY),
        ("!(a b)", Function.AND2),
        ("!(a + b)", Function.OR2),
        ("!(a ^ b)", Function.XOR2),
        ("!(a b c)", Function.AND3),
        ("!(a | b | c)", Function.OR3),
        ("a ^ b ^ c", Function.XOR3),
        ("(a & b) | (c & (a | b))", Function.MAJORITY),
        ("(a & !b) | (c & b)", Function.MULTIPLEX),
        ("!((c & a) | b)", Function.AND_OR),
        ("!((c | b) & a)", Function.OR_AND),
        ("!(a b c d)", Function.AND4),
        ("!(a | b | c | d)", Function.OR4),
        ("!((a & c) | (b & d))", Function.AND2_OR2),
        ("!((a | d) & (b | c))", Function.OR2_AND2),
        ("!((b & d) | a | c)", Function.AND_OR3),
        ("!((b | d) & a & c)", Function.OR_AND3),
    ],
)
def test_cells_of_libraries_are_one_step(expression: str, function: Function) -> None:
    names = [name for name in "abcd" if name in expression]
    found = match(truth_table(expression, names), len(names))
    assert found is not None
    assert found.function == function
    assert not any(found.inverted)


@given(st.integers(1, 4), st.data())
def test_a_match_computes_its_table(count: int, data: st.DataObject) -> None:
    table = data.draw(st.integers(0, 2**2**count - 1))
    found = match(table, count)
    if found is None:
        return
    reference = {
        Function.COPY: lambda a: a, Function.AND2: lambda a, b: a & b, Function.OR2: lambda a, b: a | b,
        Function.XOR2: lambda a, b: a ^ b, Function.AND3: lambda a, b, c: a & b & c,
        Function.OR3: lambda a, b, c: a | b | c, Function.XOR3: lambda a, b, c: a ^ b ^ c,
        Function.MAJORITY: lambda a, b, c: int(a + b + c > 1), Function.MULTIPLEX: lambda a, b, c: b if c else a,
        Function.AND_OR: lambda a, b, c: a & b | c, Function.OR_AND: lambda a, b, c: (a | b) & c,
        Function.AND4: lambda a, b, c, d: a & b & c & d, Function.OR4: lambda a, b, c, d: a | b | c | d,
        Function.AND2_OR2: lambda a, b, c, d: a & b | c & d, Function.OR2_AND2: lambda a, b, c, d: (a | b) & (c | d),
        Function.AND_OR3: lambda a, b, c, d: a & b | c | d, Function.OR_AND3: lambda a, b, c, d: (a | b) & c & d,
    }[found.function]  # fmt: skip
    for row in product((0, 1), repeat=count):
        operands = [row[j] ^ inverted for j, inverted in zip(found.inputs, found.inverted, strict=True)]
        number = sum(value << j for j, value in enumerate(row))
        assert reference(*operands) ^ found.inverts == table >> number & 1


FINE = one_sequence(5, a=bits(0, 1, 1, 0, 1))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (one_sequence(5), "operands of port a: expected 1 bits, got nothing; give its rows"),
        (
            one_sequence(5, a=bits(0, 1, 1, 0, 1), b=bits(0, 1, 1, 0, 1)),
            "port b: expected ports among a, got one that the netlist lacks",
        ),
        (
            one_sequence(2, a=PortRows(np.zeros((2, 3), np.uint8), 4, START, 1)),
            "operands of port a: expected 1 bits, got 3 codes of 4",
        ),
        (one_sequence(9, a=bits(0, 1)), "port a: expected rows 0 to 1, got row 8"),
        (one_sequence(1, a=bits(0)), "operand sequences: expected at least one of two cycles or more, got at most 1; "
         "a toggle needs a cycle before it"),
        (one_sequence(0, a=bits(0)), "operand sequences: expected passes of at least one cycle each; leave empty "
         "passes out"),
        (OperandSequences(np.array([3, 2]), np.array([0, 5]), {"a": bits(0, 1, 1)}), "operand sequences: expected "
         "first passes that rise from 0 to at most 1; each sequence needs a pass"),
        (one_sequence(2, a=PortRows(np.zeros((2, 1)), 1, START, 1)), "port a: expected a matrix of integers, got "
         "shape (2, 1) of float64"),
        (one_sequence(2, a=PortRows(np.zeros((2, 1), np.uint8), 65, START, 1)), "port a: expected codes of 1 to 64 "
         "bits, got 65"),
        (one_sequence(2, a=PortRows(np.zeros((2, 1), np.uint8), 1, START, 2)), "port a: expected a stride of 0 or 1 "
         "and a delay of at least 0, got 2 and 0"),
        (one_sequence(2, a=PortRows(np.zeros((2, 1), np.uint8), 1, np.zeros(3, np.int64), 1)), "port a: expected 1 "
         "first rows, one a pass, got shape (3,)"),
    ],
)  # fmt: skip
def test_operands_that_do_not_fit(sequences: OperandSequences, message: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(pulse_circuit(1), sequences, "zero-delay")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (([0], [2], [4]), "window 0: expected transitions within 1 to 4 of sequence 0, got 2 to 5"),
        (([0, 0], [1, 0], [4, 2]), "window 1: expected transitions within 1 to 4 of sequence 0, got 0 to 1"),
        (([1], [1], [1]), "windows: expected sequences 0 to 0, got 1"),
        (([], [], []), "windows: expected as many sequences as first transitions and lengths, at least one, got 0, 0 "
         "and 0"),
    ],
)  # fmt: skip
def test_windows_that_do_not_fit(windows: tuple[list[int], list[int], list[int]], message: str) -> None:
    columns = (np.array(column, dtype=np.int64) for column in windows)
    with pytest.raises(InputError) as caught:
        simulate(pulse_circuit(1), FINE, "zero-delay", windows=Windows(*columns))
    assert str(caught.value) == message


def test_other_arguments_that_do_not_fit() -> None:
    compiled = pulse_circuit(1)
    with pytest.raises(InputError, match=r"^mode: expected zero-delay, transport or inertial, got slow$"):
        simulate(compiled, FINE, "slow")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^jobs: expected at least 1 thread, got 0$"):
        simulate(compiled, FINE, "inertial", jobs=0)
    with pytest.raises(InputError, match=r"^step_ps: expected a time step above 0 ps, got 0$"):
        compile_circuit(PULSE, LIBRARY, step_ps=0)
    with pytest.raises(
        InputError, match=r"^delays_ps: expected 6 finite delays of at least 0 ps, one a net, got shape"
    ):
        compile_circuit(PULSE, LIBRARY, np.full(6, -1.0))
    with pytest.raises(InputError) as caught:
        compile_circuit(PULSE, LIBRARY, np.full(6, 50.0), step_ps=0.01)
    assert str(caught.value) == (
        "delays_ps: expected delays below 4096 time steps of 0.01 ps, got 50 ps at 1'b0; take a coarser step"
    )
    with pytest.raises(NetlistError) as caught:
        simulate(compile_circuit(PULSE, LIBRARY, np.full(6, 30.0), step_ps=0.015), FINE, "inertial")
    assert str(caught.value) == (
        "netlist circuit: expected a cycle to settle within 4096 time steps of 0.015 ps, but y changes later; "
        "take a coarser step"
    )


def test_a_register_that_no_port_shows() -> None:
    hidden = circuit(
        {"clk": "clk", "a": "a"},
        {"y": "y"},
        [
            ("x", "XOR2_X1", "A=a B=q Z=d"),
            ("r", "DFF_X1", "D=d CK=clk Q=q"),
            ("n", "NAND2_X1", "A1=q A2=a ZN=y"),
        ],
    )
    with pytest.raises(NetlistError) as caught:
        compile_circuit(hidden, LIBRARY)
    assert str(caught.value) == (
        "netlist circuit: the register r feeds back on itself and no output port shows it; make it an output, so that "
        "its contents can be given"
    )


def test_missing_contents_of_a_register() -> None:
    with pytest.raises(InputError) as caught:
        simulate(compile_circuit(TOGGLER, LIBRARY), FINE, "inertial")
    assert str(caught.value) == (
        "contents of the register shown at port state: expected 1 bits, got nothing; give its rows"
    )
