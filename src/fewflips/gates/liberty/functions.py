"""Boolean expressions in Liberty syntax, turned into truth tables.

Operators in order of precedence, tightest first, according to the Liberty reference manual: ``!`` before and ``'``
after an operand (not), ``^`` (exclusive or), ``&``, ``*`` or nothing between operands (and), ``|`` or ``+`` (or).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from fewflips.errors import CellLibraryError

MOST_INPUTS = 8
"""Most inputs of a truth table, which then has 256 bits."""

_LONGEST = 10_000
_TOKEN = re.compile(r"""\s*(?:([A-Za-z_\\][\w\\.$\[\]]*|"[^"]*"|[01](?!\w))|([!'^&*|+()]))""")
_PRECEDENCE = {"|": 1, "&": 2, "^": 3, "!": 4}
_CANONICAL = {"+": "|", "*": "&"}
_COMBINE: dict[str, Callable[[int, int], int]] = {
    "|": lambda left, right: left | right,
    "&": lambda left, right: left & right,
    "^": lambda left, right: left ^ right,
}


def truth_table(expression: str, inputs: Sequence[str]) -> int:
    """Truth table of a Liberty boolean expression.

    Parameters
    ----------
    expression : str
        For example ``!((A1 & A2) | B)``, ``(A B)'`` or ``"A + B"``.
    inputs : sequence of str
        Names that the expression may use, at most 8.

    Returns
    -------
    int
        Bit i is the expression's value where input j has the value of bit j of i; 2**len(inputs) bits.

    Raises
    ------
    CellLibraryError
        If the expression is malformed, uses another name, or there are more than 8 inputs.

    Examples
    --------
    >>> bin(truth_table("A & B", ["A", "B"]))
    '0b1000'
    >>> bin(truth_table("(A B)'", ["A", "B"]))
    '0b111'
    """
    if len(inputs) > MOST_INPUTS:
        raise CellLibraryError(
            f"cannot tabulate {_shown(expression)}: expected at most {MOST_INPUTS} inputs, got {len(inputs)};"
            " use cells with fewer"
        )
    everything = (1 << (1 << len(inputs))) - 1
    values = {name: _column(position, len(inputs)) for position, name in enumerate(inputs)}
    values |= {"0": 0, "1": everything}
    return _Evaluator(expression, values, everything).value()


def names_in(expression: str) -> tuple[str, ...]:
    """Names that an expression uses, in the order of their first use.

    Raises
    ------
    CellLibraryError
        If the expression contains a meaningless character.

    Examples
    --------
    >>> names_in("!B & (A | B) & 1")
    ('B', 'A')
    """
    names = (token for token, is_operand in _tokens(expression) if is_operand and token not in ("0", "1"))
    return tuple(dict.fromkeys(names))


def check_length(expression: str, added: int = 0) -> None:
    """Refuse expressions longer than any cell needs, before processing them.

    Parameters
    ----------
    expression : str
        The expression.
    added : int
        Characters about to be added to it.

    Raises
    ------
    CellLibraryError
        If there would be more than 10,000 characters.
    """
    if len(expression) + added > _LONGEST:
        raise _malformed(expression, f"expected at most {_LONGEST} characters, got {len(expression) + added}")


def _column(position: int, count: int) -> int:
    """Truth table of an input by itself: alternating runs of 2**position zeros and ones."""
    run = 1 << position
    ones = ((1 << run) - 1) << run
    column = 0
    for start in range(0, 1 << count, 2 * run):
        column |= ones << start
    return column


def _tokens(expression: str) -> Iterator[tuple[str, bool]]:
    """Tokens and whether each is an operand; one pair of quotes around the whole is dropped."""
    check_length(expression)
    text = expression.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"' and (text.count('"') == 2):
        text = text[1:-1].strip()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(expression, f"expected a name or an operator, got {text[position:].lstrip()[:1]!r}")
        position = match.end()
        operand, operator = match.groups()
        if operand is not None:
            yield operand.strip('"'), True
        else:
            yield _CANONICAL.get(operator, operator), False


class _Evaluator:
    """Dijkstra's two-stack algorithm, so that deep nesting needs no recursion; operands are whole truth tables."""

    def __init__(self, expression: str, values: dict[str, int], everything: int) -> None:
        self._expression = expression
        self._values = values
        self._everything = everything
        self._operands: list[int] = []
        self._operators: list[str] = []

    def value(self) -> int:
        """Truth table of the whole expression."""
        after_operand = False
        for token, is_operand in _tokens(self._expression):
            starts_operand = is_operand or token in "(!"
            if after_operand and starts_operand:  # nothing between operands: and
                self._push_binary("&")
            if is_operand:
                self._operands.append(self._look_up(token))
            elif starts_operand:
                self._operators.append(token)
            elif not after_operand:
                raise _malformed(self._expression, f"expected an operand before {token!r}")
            else:
                self._follow_operand(token)
            after_operand = is_operand or token in (")", "'")
        if not after_operand:
            raise _malformed(self._expression, "expected an operand at the end")
        self._apply(0)
        if self._operators:
            raise _malformed(self._expression, "expected ')' at the end")
        return self._operands[0]

    def _look_up(self, name: str) -> int:
        if name not in self._values:
            known = ", ".join(known for known in self._values if known not in ("0", "1")) or "no inputs"
            raise _malformed(self._expression, f"expected names among {known}, got {name!r}")
        return self._values[name]

    def _follow_operand(self, token: str) -> None:
        """An operator that needs an operand before it."""
        if token == "'":
            self._operands[-1] ^= self._everything  # commutes with any pending !
        elif token == ")":
            self._apply(0)
            if not self._operators:
                raise _malformed(self._expression, "expected '(' before ')'")
            self._operators.pop()
        else:
            self._push_binary(token)

    def _push_binary(self, operator: str) -> None:
        self._apply(_PRECEDENCE[operator])
        self._operators.append(operator)

    def _apply(self, least: int) -> None:
        """Apply the operators pending since the last parenthesis that bind at least as tightly."""
        while self._operators and self._operators[-1] != "(" and _PRECEDENCE[self._operators[-1]] >= least:
            operator = self._operators.pop()
            if operator == "!":
                self._operands[-1] ^= self._everything
            else:
                right = self._operands.pop()
                self._operands[-1] = _COMBINE[operator](self._operands[-1], right)


def _malformed(expression: str, what: str) -> CellLibraryError:
    return CellLibraryError(f"not a Liberty boolean expression: {_shown(expression)}: {what}")


def _shown(expression: str) -> str:
    shown = expression if len(expression) <= 60 else expression[:57] + "..."
    return repr(shown)
