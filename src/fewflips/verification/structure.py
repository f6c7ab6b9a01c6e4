"""Checks, without running it, that a model is another one with its channels moved and nothing else changed.

The channel orders are given, or recovered from the constants. They are undone on every constant that moves; then each
constant, and everything else in the file, must equal the original bit for bit. Anything that no order explains is a
difference, named by its layer and index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import VerificationError
from fewflips.network.channels import ChannelGroups, tie_channels
from fewflips.network.contents import ConstantPart, Contents, as_bytes
from fewflips.network.graph import Network
from fewflips.network.load import read_contents
from fewflips.verification.channel_moves import Orders, axes_by_tensor, undone

MOST_NAMED = 10
"""How many differences are described; all are counted."""


@dataclass(frozen=True)
class StructureComparison:
    """Two files, constant by constant and field by field.

    Parameters
    ----------
    constants : int
        Number of the original's constants compared.
    moved_groups : int
        Number of channel groups whose order differs.
    differing : int
        Number of elements of constants, and of other fields, that the orders do not explain.
    differences : tuple of str
        The first of them, each named by its layer, part and index.
    orders : mapping of int to ndarray of int64
        Order of each group that moved: entry i is the original's channel at the new position i.
    groups : ChannelGroups
        The groups of the original.
    """

    constants: int
    moved_groups: int
    differing: int
    differences: tuple[str, ...]
    orders: Orders = field(repr=False)
    groups: ChannelGroups = field(repr=False)

    @property
    def equal(self) -> bool:
        """Whether the files are the same except for the orders of channels."""
        return self.differing == 0

    @property
    def adds_floats(self) -> bool:
        """Whether floats are added over channels that moved, so that outputs may be rounded otherwise."""
        return not self.groups.added.isdisjoint(self.orders)

    def describe(self) -> str:
        """One sentence."""
        undone = f"after {self.moved_groups} channel orders were undone"
        if self.moved_groups < 2:
            undone = "after one channel order was undone" if self.moved_groups else "in the same order of channels"
        if self.equal:
            return f"structure: all {self.constants} constants and everything else in the files are equal {undone}"
        named = "; ".join(self.differences)
        more = self.differing - len(self.differences)
        counted = "one difference" if self.differing == 1 else f"{self.differing} differences"
        return f"structure: {counted} {undone}: {named}" + (f"; and {more} more" if more else "")


def compare_structure(original: Network, other: Network, orders: Orders | None = None) -> StructureComparison:
    """Compare two files of one format, with the orders of the second's channels undone.

    Parameters
    ----------
    original, other : Network
        Networks read from the files, which are read again.
    orders : mapping of int to ndarray of int64, optional
        Order of each of the original's channel groups that moved. By default orders are recovered from the constants;
        this succeeds if the other file is the original with its channels moved.

    Returns
    -------
    StructureComparison
        Everything that the orders do not explain.

    Raises
    ------
    ModelError
        If a file cannot be read again.
    """
    from fewflips.verification.recovery import recover_orders

    groups = tie_channels(original)
    first = read_contents(original.path, original.file_format)
    second = read_contents(other.path, other.file_format)
    comparison = _Comparison(original)
    pairs = comparison.pairs(first, second)
    if orders is None:
        orders = recover_orders(groups, pairs) if len(pairs) == len(first.parts) else {}
    orders = {group: order for group, order in orders.items() if not np.array_equal(order, np.arange(len(order)))}
    axes = axes_by_tensor(groups)
    for left, right in pairs:
        comparison.compare(left, undone(right, axes.get(left.tensor, ()), groups, orders))
    comparison.compare_rest(first, second)
    return StructureComparison(
        constants=len({part.tensor for part in first.parts}),
        moved_groups=len(orders),
        differing=comparison.differing,
        differences=tuple(comparison.differences),
        orders=orders,
        groups=groups,
    )


def check_structure(original: Network, rewritten: Path, structure: StructureComparison) -> None:
    """Raise :class:`VerificationError` unless a rewritten file is the original with its channels moved.

    Parameters
    ----------
    original : Network
        The model that was rewritten.
    rewritten : Path
        The new file.
    structure : StructureComparison
        Both files, with the planned orders undone.
    """
    if not structure.equal:
        raise VerificationError(
            f"{rewritten.name} is not {original.path.name} with its channels moved: {structure.describe()}; it was "
            "not written"
        )


class _Comparison:
    """Collects differences: counts all, and describes the first ones."""

    def __init__(self, original: Network) -> None:
        self.differing = 0
        self.differences: list[str] = []
        self._layers = {layer.weights_tensor: layer.name for layer in original.layers}

    def pairs(self, first: Contents, second: Contents) -> list[tuple[ConstantPart, ConstantPart]]:
        """Corresponding parts; one that is missing or has another shape is a difference."""
        others = {(number, part.tensor, part.part): part for number, part in _numbered(second.parts)}
        result = []
        for number, part in _numbered(first.parts):
            other = others.pop((number, part.tensor, part.part), None)
            if other is None:
                self._add(f"{self._name(part)}: missing in the second file")
            elif (other.values.shape, other.values.dtype, other.along) != (
                part.values.shape,
                part.values.dtype,
                part.along,
            ):
                expected, got = (f"shape {list(one.values.shape)} of {one.values.dtype}" for one in (part, other))
                self._add(f"{self._name(part)}: expected {expected}, got {got}")
            else:
                result.append((part, other))
        for other in others.values():
            self._add(f"{self._name(other)}: not in the first file")
        return result

    def compare(self, part: ConstantPart, values: NDArray[np.generic]) -> None:
        """Compare every bit of a part."""
        differ = (as_bytes(part.values) != as_bytes(values)).any(axis=-1)
        places = np.argwhere(differ)
        for index in islice(places, max(0, MOST_NAMED - len(self.differences))):
            place = tuple(int(i) for i in index)
            expected, got = part.values[place], values[place]
            where = f"[{', '.join(map(str, place))}]" if place else ""
            self.differences.append(f"{self._name(part)}{where}: expected {expected}, got {got}")
        self.differing += len(places)

    def compare_rest(self, first: Contents, second: Contents) -> None:
        """Compare everything that is not a constant; a named difference is not reported again as bytes."""
        names = [name for name in {**first.rest, **second.rest} if first.rest.get(name) != second.rest.get(name)]
        if not names and first.outside != second.outside:
            self._add("the bytes outside of the constants differ")
        for name in names:
            found = [name in contents.rest for contents in (first, second)]
            only = "" if all(found) else f", only in the {'first' if found[0] else 'second'} file"
            self._add(f"{name}{only or ' differs'}")

    def _add(self, text: str) -> None:
        self.differing += 1
        if len(self.differences) < MOST_NAMED:
            self.differences.append(text)

    def _name(self, part: ConstantPart) -> str:
        if part.tensor in self._layers:
            what = "weights" if part.part == "values" else f"{part.part} of the weights"
            return f"{self._layers[part.tensor]}, {what}"
        return f"constant '{part.tensor}'" + ("" if part.part == "values" else f", {part.part}")


def _numbered(parts: tuple[ConstantPart, ...]) -> Iterator[tuple[int, ConstantPart]]:
    """Parts numbered by earlier occurrences of the same one, since tensors may share a name."""
    seen: defaultdict[tuple[str, str], int] = defaultdict(int)
    for part in parts:
        key = part.tensor, part.part
        yield seen[key], part
        seen[key] += 1
