"""One activation tensor: which integers it takes, and which ranges would have fewer bits set on the wires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.formats.number_formats import NumberFormat, encode, value_range
from fewflips.machine.accelerator import Operand
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.network.ranges import ActivationRange, NewRange
from fewflips.progress import Progress
from fewflips.streams.codes import operand_width

FACTORS = tuple(2 ** (number / 4) for number in range(13))
"""Steps of the file that one new step may be worth: from 1, that of the file, to 8."""

_WITH_ZERO_POINT = (NumberFormat.AS_STORED, NumberFormat.UNSIGNED)
"""Formats in which the zero point is part of the code."""

_ROOM = 1 / 16
"""What is kept free beyond the values that were seen, as a part of them: other inputs may reach further."""


@dataclass(frozen=True, eq=False)
class SeenTensor:
    """A tensor whose range may be replaced, and what it held on the calibration inputs.

    Parameters
    ----------
    place : ActivationRange
        Its present range.
    low, high : int
        Smallest and largest integer that was seen in it.
    counts : ndarray of float64, shape (256,)
        For each integer of its type, from the smallest on, how many multiplications of one inference have it as their
        activation.
    """

    place: ActivationRange
    low: int
    high: int
    counts: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class RangeCandidate:
    """A range, and what it costs.

    Parameters
    ----------
    new : NewRange
        The range.
    ones : float
        Bits that are 1 in the activations of one inference's multiplications.
    """

    new: NewRange
    ones: float

    @property
    def noise(self) -> float:
        """Square error of the tensor's values, relatively: that of rounding to the new steps, and to the old.

        None where only the zero point moves: all integers move alike. Both errors are uniform, and independent where
        the steps are different.
        """
        return 0.0 if self.new.factor == 1 else 1 + self.new.factor**2


def seen_tensors(
    network: Network,
    places: Mapping[str, ActivationRange],
    samples: Samples,
    progress: Progress | None = None,
) -> list[SeenTensor]:
    """Run a network, and count the integers that its layers multiply.

    Parameters
    ----------
    network : Network
        The network.
    places : mapping of str to ActivationRange
        Ranges that can be replaced, by their tensor's name.
    samples : Samples
        Calibration inputs.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    list of SeenTensor
        Those that layers read, in the order in which the layers are executed.
    """
    readers: dict[str, list[Layer]] = {}
    for layer in network.layers:
        if layer.input_tensor is not None and layer.input_tensor in places:
            readers.setdefault(layer.input_tensor, []).append(layer)
    counts = {name: np.zeros(256) for name in readers}
    spans = dict.fromkeys(readers, (256, -256))
    for tensors in run_samples(network, samples, progress):
        for name, layers in readers.items():
            low, high = spans[name]
            spans[name] = (min(low, int(tensors[name].min())), max(high, int(tensors[name].max())))
            for layer in layers:
                rows = lowered_rows(layer, tensors).astype(np.int64) - places[name].storage.low
                counts[name] += np.bincount(rows.ravel(), minlength=256) * (layer.n // layer.groups)
    inferences = len(samples.feeds)
    return [SeenTensor(places[name], *spans[name], counts[name] / inferences) for name in readers]


def present(tensor: SeenTensor, operand: Operand) -> RangeCandidate:
    """The range that a tensor has."""
    zero_point = tensor.place.zero_point
    (ones,) = _ones(tensor, operand, 1.0, np.array([zero_point]))
    return RangeCandidate(NewRange(1.0, zero_point), float(ones))


def candidates(tensor: SeenTensor, operand: Operand, factors: Sequence[float] = FACTORS) -> list[RangeCandidate]:
    """Ranges in which a tensor's values have fewer bits set on a machine's wires, and none saturates that was seen.

    Parameters
    ----------
    tensor : SeenTensor
        The tensor.
    operand : Operand
        Number format and width of activations on the machine.
    factors : sequence of float
        Steps of the present range that one of the new may be worth, in rising order.

    Returns
    -------
    list of RangeCandidate
        The present range first; then for each factor the best zero point, where it has fewer ones than all before.
    """
    found = [present(tensor, operand)]
    for factor in factors:
        zero_points = _fitting(tensor, operand, factor)
        if not zero_points.size:
            continue
        ones = _ones(tensor, operand, factor, zero_points)
        best = int(ones.argmin())
        if ones[best] < found[-1].ones:
            found.append(RangeCandidate(NewRange(factor, int(zero_points[best])), float(ones[best])))
    return found


def _fitting(tensor: SeenTensor, operand: Operand, factor: float) -> NDArray[np.int64]:
    """Zero points with which the type holds all values that were seen, and somewhat more where the range has more.

    The nearest to the present one come first; it stands alone where it is subtracted before values are put on wires.
    """
    storage, zero_point = tensor.place.storage, tensor.place.zero_point
    room = _ROOM * (tensor.high - tensor.low)
    low = max(tensor.low - room, storage.low) - zero_point
    high = min(tensor.high + room, storage.high) - zero_point
    tried = np.arange(storage.low, storage.high + 1)
    if operand.format not in _WITH_ZERO_POINT:
        tried = np.array([zero_point])
    fits = (tried + low / factor >= storage.low - 0.5) & (tried + high / factor <= storage.high + 0.5)
    fitting = tried[fits]
    return fitting[np.argsort(np.abs(fitting - zero_point), kind="stable")]


def _ones(tensor: SeenTensor, operand: Operand, factor: float, zero_points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits set in the activations of one inference's multiplications, for each zero point."""
    storage = tensor.place.storage
    seen = np.arange(storage.low, storage.high + 1) - tensor.place.zero_point
    values = np.rint(seen / factor).astype(np.int64) + zero_points[:, None]
    bits = _bits_set(values.clip(storage.low, storage.high), tensor.place, operand)
    ones: NDArray[np.float64] = bits @ tensor.counts
    return ones


def _bits_set(stored: NDArray[np.int64], place: ActivationRange, operand: Operand) -> NDArray[np.uint8]:
    """Bits set in the code of each stored integer, as :func:`fewflips.streams.codes.activation_codes` makes it."""
    storage, number_format = place.storage, operand.format
    if number_format is NumberFormat.AS_STORED:
        return np.bitwise_count(encode(stored, number_format, operand.bits or storage.bits))
    offset = storage.low if number_format is NumberFormat.UNSIGNED else place.zero_point
    low, high = storage.low - offset, storage.high - offset
    bits = operand.bits or operand_width(storage, number_format, low, high, "activations")
    lowest, highest = value_range(number_format, bits)
    return np.bitwise_count(encode((stored - offset).clip(lowest, highest), number_format, bits))
