"""What readers remark on operators: like remarks are one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fewflips.network.graph import LeftOut, Operation, OperationKind
from fewflips.visible import one_line, printable, shorten_middle

_MOST_NAMED = 3
_LONGEST_NAME = 60


class Remarks:
    """Remarks on operators, those of one kind of operator with one reason kept together."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, operator: str, reason: str) -> None:
        """Remark on one operator.

        Parameters
        ----------
        name, operator : str
            Its name, and what it is.
        reason : str
            The remark, without the operator's name.
        """
        self._names.setdefault((operator, reason), []).append(name)

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each kind of operator and reason, in the order of the first of each.

        Examples
        --------
        >>> remarks = Remarks()
        >>> for name in "abcde":
        ...     remarks.add(name, "MatMul", "it multiplies two activations")
        >>> remarks.add("f", "Conv", "its weights are floats")
        >>> for sentence in remarks.sentences():
        ...     print(sentence.replace(chr(0xD7), "x"))
        5 x MatMul ('a', 'b', 'c' and 2 more): it multiplies two activations
        layer 'f' (Conv): its weights are floats
        """
        return tuple(one_line(_sentence(*key, names)) for key, names in self._names.items())


def left_out_notes(left_out: Iterable[LeftOut]) -> tuple[str, ...]:
    """Sentences on the products that are not among a network's layers.

    Parameters
    ----------
    left_out : iterable of LeftOut
        The products.

    Returns
    -------
    tuple of str
        One for each kind of operator and reason.
    """
    remarks = Remarks()
    for product in left_out:
        remarks.add(product.name, product.operator, f"passed over: {product.reason}")
    return remarks.sentences()


def held_in_place_notes(operations: Iterable[Operation]) -> tuple[str, ...]:
    """What operators hold the channels that they touch in place: one sentence, or none.

    Parameters
    ----------
    operations : iterable of Operation
        All operators of a network.

    Returns
    -------
    tuple of str
        At most one.
    """
    counts = Counter(operation.operator for operation in operations if operation.kind is OperationKind.OPAQUE)
    total = counts.total()
    if not total:
        return ()
    if total == 1:
        operators, they = f"1 operator {next(iter(counts))}", "it touches"
    elif len(counts) == 1:
        operators, they = f"{total} operators {next(iter(counts))}", "they touch"
    else:
        kinds = ", ".join(f"{count} {operator}" for operator, count in counts.most_common())
        operators, they = f"{total} operators ({kinds})", "they touch"
    return (one_line(f"{operators}: channels are not followed through; those that {they} stay in place"),)


def _sentence(operator: str, reason: str, names: list[str]) -> str:
    named = ", ".join(f"'{shorten_middle(printable(name), _LONGEST_NAME)}'" for name in names[:_MOST_NAMED])
    if len(names) == 1:
        return f"layer {named} ({operator}): {reason}"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{len(names)} \u00d7 {operator} ({named}{more}): {reason}"
