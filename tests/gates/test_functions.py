from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.errors import CellLibraryError
from fewflips.gates.liberty.functions import names_in, truth_table


@pytest.mark.parametrize(
    ("expression", "table"),
    [
        ("A", 0b1010),
        ("!A", 0b0101),
        ("A'", 0b0101),
        ("!A'", 0b1010),
        ("!!A", 0b1010),
        ("A & B", 0b1000),
        ("A*B", 0b1000),
        ("A B", 0b1000),
        ("(A)(B)", 0b1000),
        ("A !B", 0b0010),
        ("A'B", 0b0100),
        ("(A B)'", 0b0111),
        ("A | B", 0b1110),
        ("A + B", 0b1110),
        ("A ^ B", 0b0110),
        ('"A ^ B"', 0b0110),
        ("0", 0b0000),
        ("1", 0b1111),
        ("A & 1 | 0", 0b1010),
    ],
)
def test_operators_of_two_inputs(expression: str, table: int) -> None:
    assert truth_table(expression, ["A", "B"]) == table


def test_exclusive_or_binds_tighter_than_and_and_and_tighter_than_or() -> None:
    inputs = ["A", "B", "C"]
    assert truth_table("A B ^ C", inputs) == truth_table("A & (B ^ C)", inputs)
    assert truth_table("A | B & C", inputs) == truth_table("A | (B & C)", inputs)
    assert truth_table("A B + C", inputs) == truth_table("(A & B) | C", inputs)
    assert truth_table("!A ^ B", inputs) == truth_table("(!A) ^ B", inputs)


def test_the_first_input_is_the_lowest_bit_of_the_index() -> None:
    assert truth_table("A & !B", ["A", "B"]) == 0b0010
    assert truth_table("A & !B", ["B", "A"]) == 0b0100
    assert truth_table("H", list("ABCDEFGH")) == ((1 << 128) - 1) << 128


def test_names_with_brackets_underscores_and_quotes() -> None:
    assert truth_table('("SET_B" & D[0])', ["SET_B", "D[0]"]) == 0b1000
    assert names_in("!SET_B & (D[0] | SET_B)") == ("SET_B", "D[0]")


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("", "expected an operand at the end"),
        ("A &", "expected an operand at the end"),
        ("& A", "expected an operand before '&'"),
        ("()", "expected an operand before ')'"),
        ("(A", "expected ')' at the end"),
        ("A)", "expected '(' before ')'"),
        ("A # B", "expected a name or an operator, got '#'"),
        ("A & C", "expected names among A, B, got 'C'"),
        ("A\n& @", "expected a name or an operator, got '@'"),
        ("A" * 20_000, "expected at most 10000 characters, got 20000"),
    ],
)
def test_malformed_expressions_are_one_line_errors(expression: str, complaint: str) -> None:
    with pytest.raises(CellLibraryError) as caught:
        truth_table(expression, ["A", "B"])
    message = str(caught.value)
    assert message.endswith(complaint)
    assert message.startswith("not a Liberty boolean expression: ")
    assert "\n" not in message


def test_more_than_eight_inputs_are_refused() -> None:
    with pytest.raises(CellLibraryError, match="expected at most 8 inputs, got 9"):
        truth_table("A", [f"I{number}" for number in range(9)])


def test_deep_nesting_needs_no_recursion() -> None:
    assert truth_table("(" * 4_000 + "A" + ")" * 4_000, ["A"]) == 0b10
    assert truth_table("!" * 8_001 + "A", ["A"]) == 0b01


_NAMES = ["A", "B", "C", "D"]
_EXPRESSIONS = st.recursive(
    st.sampled_from([(name, name) for name in _NAMES] + [("0", "False"), ("1", "True")]),
    lambda inner: st.one_of(
        inner.map(lambda e: (f"!({e[0]})", f"(not {e[1]})")),
        inner.map(lambda e: (f"({e[0]})'", f"(not {e[1]})")),
        st.tuples(inner, inner, st.sampled_from([" & ", "*", " "])).map(
            lambda t: (f"({t[0][0]}){t[2]}({t[1][0]})", f"({t[0][1]} and {t[1][1]})")
        ),
        st.tuples(inner, inner, st.sampled_from([" | ", "+"])).map(
            lambda t: (f"(({t[0][0]}){t[2]}({t[1][0]}))", f"({t[0][1]} or {t[1][1]})")
        ),
        st.tuples(inner, inner).map(lambda t: (f"(({t[0][0]}) ^ ({t[1][0]}))", f"({t[0][1]} != {t[1][1]})")),
    ),
    max_leaves=12,
)


@given(_EXPRESSIONS)
def test_tables_agree_with_python(pair: tuple[str, str]) -> None:
    liberty, python = pair
    expected = 0
    for index, bits in enumerate(itertools.product([False, True], repeat=len(_NAMES))):
        values = dict(zip(_NAMES, reversed(bits), strict=True))
        expected |= bool(eval(python, {"__builtins__": {}}, values)) << index
    assert truth_table(liberty, _NAMES) == expected


@given(st.text(alphabet="AB!'^&*|+() 01\"", max_size=30))
def test_any_text_gives_a_table_or_a_one_line_error(text: str) -> None:
    message = ""
    table = 0
    try:
        table = truth_table(text, ["A", "B"])
    except CellLibraryError as error:
        message = str(error)
    assert "\n" not in message
    assert 0 <= table < 16
