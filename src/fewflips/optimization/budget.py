"""How much a network's outputs may change: an error budget, and the labels that accuracy is measured with."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fewflips.errors import InputError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.npz import Header, read_npz
from fewflips.network import Network

MOST_DB = 120.0
"""Above this ratio, rounding in the runtime itself is more than the budget."""
_MOST_BYTES = 2**28
_LABELS = "labels"
_BUDGET = "error budget: expected sqnr:<decibels>dB, such as sqnr:25dB, logits:<decibels>dB, or <points>%, such as 0.5%"


@dataclass(frozen=True)
class ErrorBudget:
    """How far the outputs of an optimized network may be from the original's; one of both is given.

    Parameters
    ----------
    sqnr_db : float or None
        Least signal-to-error ratio of the outputs on the sample inputs, in dB: 10 log10 of the sum of the squares of
        the original's output values over that of their changes.
    accuracy_points : float or None
        Most percentage points of top-1 accuracy that may be lost on labelled sample inputs.
    in_logits : bool
        Whether the ratio is that of what a softmax at the end is given, instead of the probabilities that it makes.

    Raises
    ------
    InputError
        If not exactly one is given, or it is out of range.

    Examples
    --------
    >>> ErrorBudget.parse("sqnr:25dB")
    ErrorBudget(sqnr_db=25.0, accuracy_points=None, in_logits=False)
    >>> str(ErrorBudget.parse("logits:20dB"))
    'logits:20dB'
    >>> ErrorBudget.parse("0.5%").accuracy_points
    0.5
    """

    sqnr_db: float | None = None
    accuracy_points: float | None = None
    in_logits: bool = False

    def __post_init__(self) -> None:
        if self.in_logits and self.sqnr_db is None:
            raise InputError("error budget in logits: expected a ratio in dB, got points of accuracy")
        if (self.sqnr_db is None) == (self.accuracy_points is None):
            raise InputError("error budget: expected a ratio in dB or points of accuracy, got neither or both")
        if self.sqnr_db is not None and not 0 < self.sqnr_db <= MOST_DB:
            raise InputError(
                f"error budget: expected a ratio above 0 dB, where the error is as large as the signal, and up to "
                f"{MOST_DB:g} dB, got {self.sqnr_db:g} dB"
            )
        if self.accuracy_points is not None and not 0 <= self.accuracy_points < 100:
            raise InputError(
                f"error budget: expected from 0 to less than 100 points of accuracy, got {self.accuracy_points:g}"
            )

    def __str__(self) -> str:
        """As :meth:`parse` takes it."""
        if self.sqnr_db is None:
            return f"{self.accuracy_points:.12g}%"
        return f"{'logits' if self.in_logits else 'sqnr'}:{self.sqnr_db:.12g}dB"

    @classmethod
    def parse(cls, text: str) -> ErrorBudget:
        """A budget from text.

        Parameters
        ----------
        text : str
            ``sqnr:25dB``, ``logits:25dB``, or ``0.5%``; upper and lower case, and white space around the number, do not
            matter.

        Returns
        -------
        ErrorBudget
            The budget.

        Raises
        ------
        InputError
            If the text is not one.
        """
        words = "".join(text.split()).lower()
        where, _, ratio = words.partition(":")
        if where in ("sqnr", "logits") and ratio.endswith("db"):
            return cls(sqnr_db=_number(ratio[:-2], text), in_logits=where == "logits")
        if words.endswith("%"):
            return cls(accuracy_points=_number(words[:-1], text))
        raise InputError(f"{_BUDGET}, got {text!r}")


def _number(word: str, text: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{_BUDGET}, got {text!r}")
    return number


def read_labels(path: str | Path) -> NDArray[np.int64]:
    """The class of each sample input, from a file.

    Parameters
    ----------
    path : str or Path
        An ``.npy``; an ``.npz`` with an array ``labels``, or with one array; or text (``.csv``, ``.txt``): integers
        separated by commas or white space.

    Returns
    -------
    ndarray of int64, shape (samples,)
        Classes, counted from 0.

    Raises
    ------
    InputError
        If the file cannot be read, or holds something else than non-negative integers.
    """
    path = Path(path)
    readers = {".npy": _from_npy, ".npz": _from_npz, ".csv": _from_text, ".txt": _from_text}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: expected labels in an {', '.join(readers)} file, got '{path.suffix}'")
    try:
        if size_of(path) > _MOST_BYTES:
            raise InputError(f"{path}: expected labels, at most {_MOST_BYTES >> 20} MiB of them, got a larger file")
        labels = readers[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: labels cannot be read: {error.strerror or error}") from error
    return _checked(labels, str(path))


def check_labels(labels: NDArray[np.integer], samples: int, classes: int | None = None) -> NDArray[np.int64]:
    """Labels that fit the sample inputs and the network.

    Parameters
    ----------
    labels : ndarray of integers, shape (samples,)
        Class of each sample, counted from 0.
    samples : int
        Number of sample inputs.
    classes : int, optional
        Number of the network's classes, where it is known.

    Returns
    -------
    ndarray of int64, shape (samples,)
        The labels.

    Raises
    ------
    InputError
        If there are fewer or more labels than samples, or classes that the network does not tell apart.
    """
    checked = _checked(np.asarray(labels), "labels")
    if len(checked) != samples:
        raise InputError(
            f"labels: expected one for each of {samples} sample input{'s'[: samples != 1]}, got {len(checked)}: give "
            "them in the order of the samples (images: that of their names)"
        )
    if classes is not None and checked.max() >= classes:
        raise InputError(
            f"labels: expected classes from 0 to {classes - 1}, as the network has {classes} of them, got "
            f"{checked.max()} for sample {int(checked.argmax())}"
        )
    return checked


def check_calibration(samples: Samples) -> None:
    """Raise :class:`InputError` where an error that is measured on sample inputs says nothing.

    Parameters
    ----------
    samples : Samples
        Sample inputs.

    Raises
    ------
    InputError
        If each input of each of them is one value throughout.
    """
    if all(value.size and value.min() == value.max() for feeds in samples.feeds for value in feeds.values()):
        raise InputError(
            f"error budget: expected sample inputs like those in use, got constant ones in {samples.source}: "
            "an error measured on them says nothing"
        )


def budget_and_labels(
    budget: ErrorBudget | str | None, labels: ArrayLike | str | Path | None, inputs: object | None
) -> tuple[ErrorBudget | None, NDArray[np.int64] | None]:
    """An error budget and labels from what a user gave, where they go together.

    Parameters
    ----------
    budget : ErrorBudget, str or None
        The budget, or text that :meth:`ErrorBudget.parse` takes.
    labels : array_like of int, str, Path or None
        Labels, or a file that :func:`read_labels` takes.
    inputs : object or None
        None where there are no sample inputs.

    Returns
    -------
    budget : ErrorBudget or None
        The budget.
    labels : ndarray of int64, shape (samples,), or None
        Given exactly where the budget is in points of accuracy.

    Raises
    ------
    InputError
        If one is there without what it needs, or cannot be read.
    """
    budget = ErrorBudget.parse(budget) if isinstance(budget, str) else budget
    if not isinstance(budget, ErrorBudget | None):
        raise InputError(f"error budget: expected an ErrorBudget or text, got {type(budget).__name__}")
    if labels is not None and (budget is None or budget.accuracy_points is None):
        raise InputError(
            "labels: expected an error budget in points of accuracy (0.5%) for them, got "
            f"{'none' if budget is None else budget}: give one, or leave out the labels"
        )
    if budget is None:
        return None, None
    if inputs is None:
        raise InputError(f"error budget {budget}: expected sample inputs to measure the error on (--inputs), got none")
    if budget.accuracy_points is not None and labels is None:
        raise InputError(
            f"error budget {budget}: expected labels of the sample inputs to measure accuracy with (--labels), got "
            "none; a budget like sqnr:25dB needs none"
        )
    if isinstance(labels, str | Path):
        return budget, read_labels(labels)
    return budget, None if labels is None else _checked(np.asarray(labels), "labels")


def check_samples(
    network: Network, budget: ErrorBudget | None, labels: NDArray[np.int64] | None, samples: Samples | None
) -> None:
    """Raise :class:`InputError` unless the error that a budget allows can be measured on sample inputs.

    Parameters
    ----------
    network : Network
        The original; it is run once where there are labels.
    budget : ErrorBudget or None
        Nothing is checked without one, or without samples.
    labels : ndarray of int64, shape (samples,), or None
        Class of each sample.
    samples : Samples or None
        Sample inputs.

    Raises
    ------
    InputError
        If samples are constant, or labels do not fit them or the network.
    """
    if budget is None or samples is None:
        return
    check_calibration(samples)
    if labels is not None:
        check_labels(labels, len(samples.feeds))
        check_labels(labels, len(samples.feeds), _classes(network, samples))


def _classes(network: Network, samples: Samples) -> int:
    """Number of values of the network's only output."""
    with Runtime(network) as runtime:
        outputs = runtime.run(samples.feeds[0], runtime.outputs)
    if len(outputs) != 1:
        raise InputError(f"labels: expected a network with one output, a value for each class, got {len(outputs)}")
    (values,) = outputs.values()
    if values.size < 2 or values.shape[-1:] != (values.size,):
        raise InputError(f"labels: expected a network that gives a value for each class, got {list(values.shape)}")
    return values.size


def _from_npy(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(io.BytesIO(read_plain(path)), allow_pickle=False))
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: expected an array as numpy.save writes it, got a damaged file: {error}") from error


def _from_npz(path: Path) -> NDArray[Any]:
    def choose(names: Sequence[str]) -> list[str]:
        if _LABELS in names or len(names) == 1:
            return [_LABELS if _LABELS in names else names[0]]
        raise InputError(f"{path}: expected an array named '{_LABELS}', or one array, got {len(names)} others")

    def check(headers: Mapping[str, Header]) -> None:
        if any(header.nbytes > _MOST_BYTES for header in headers.values()):
            raise InputError(f"{path}: expected one label for each sample, got a larger array")

    (labels,) = read_npz(path, choose, check).values()
    return labels


def _from_text(path: Path) -> NDArray[Any]:
    try:
        words = read_plain(path).decode("utf-8-sig").replace(",", " ").split()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected labels as text, got bytes that are none") from error
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 19):
            raise InputError(f"{path}: expected classes as integers from 0 on, got {word!r}")
    return np.array([int(word) for word in words], dtype=np.int64)


def _checked(labels: NDArray[Any], where: str) -> NDArray[np.int64]:
    """One class, an integer from 0 on, for each sample."""
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.ravel()
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(f"{where}: expected a list of integers, got {labels.dtype} of shape {list(labels.shape)}")
    if not labels.size:
        raise InputError(f"{where}: expected one label for each sample, got none")
    if labels.min() < 0 or labels.max() >= 2**62:
        raise InputError(f"{where}: expected classes as integers from 0 on, got {labels.min()} to {labels.max()}")
    return labels.astype(np.int64)
