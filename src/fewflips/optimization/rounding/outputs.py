"""Output errors of a rewritten network against the original, and whether they are within a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples
from fewflips.network import Network
from fewflips.network.load import output_steps
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.rounding.logits import logit_tensors


@dataclass(frozen=True)
class OutputChange:
    """How far outputs are from the original's.

    Parameters
    ----------
    sqnr_db : float
        10 log10 of the sum of the squares of the original's output values over that of their changes, over all values
        of all outputs on all inputs; infinite where nothing changed.
    points_lost : float or None
        Percentage points of top-1 accuracy that are lost on labelled inputs; below 0 where some are won.
    """

    sqnr_db: float
    points_lost: float | None = None

    def within(self, budget: ErrorBudget) -> bool:
        """Whether a budget is met."""
        if budget.sqnr_db is not None:
            return self.sqnr_db >= budget.sqnr_db
        assert budget.accuracy_points is not None
        return self.points_lost is not None and self.points_lost <= budget.accuracy_points + 1e-9

    def __str__(self) -> str:
        """In words."""
        ratio = "no change" if math.isinf(self.sqnr_db) else f"{self.sqnr_db:.2f} dB"
        if self.points_lost is None:
            return f"SQNR {ratio}"
        return f"{self.points_lost:.2f} points of accuracy lost, SQNR {ratio}"


@dataclass(frozen=True, eq=False)
class Reference:
    """The original's outputs on sample inputs.

    Parameters
    ----------
    samples : Samples
        The inputs.
    outputs : ndarray of float64, shape (samples, values)
        All outputs side by side, dequantized.
    labels : ndarray of int64, shape (samples,), or None
        Class of each sample.
    tensors : tuple of str or None
        Tensors that are compared instead of the network's outputs.
    """

    samples: Samples
    outputs: NDArray[np.float64] = field(repr=False)
    labels: NDArray[np.int64] | None = field(default=None, repr=False)
    tensors: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        samples: Samples,
        labels: NDArray[np.int64] | None = None,
        budget: ErrorBudget | None = None,
    ) -> Reference:
        """Run the original.

        Parameters
        ----------
        network : Network
            The original.
        samples : Samples
            The inputs.
        labels : ndarray of int64, shape (samples,), optional
            Class of each sample.
        budget : ErrorBudget, optional
            What will be held against it: one in logits is measured there.

        Returns
        -------
        Reference
            Its outputs.

        Raises
        ------
        InputError
            If outputs are all zero, so that an error has nothing to be compared with, or integers of unknown meaning;
            or if there are no logits.
        """
        tensors = logit_tensors(network) if budget is not None and budget.in_logits else None
        outputs = _outputs(network, samples, tensors)
        if not outputs.any():
            raise InputError("error budget: expected outputs that are not all zero on the sample inputs, got zeros")
        return cls(samples, outputs, labels, tensors)

    def only(self, chosen: Sequence[int]) -> Reference:
        """The same for some of the samples."""
        samples = Samples(tuple(self.samples.feeds[i] for i in chosen), self.samples.source, self.samples.note)
        labels = None if self.labels is None else self.labels[list(chosen)]
        return Reference(samples, self.outputs[list(chosen)], labels, self.tensors)

    def error_of(self, network: Network) -> tuple[OutputChange, NDArray[np.float64]]:
        """Run a rewritten network on the same inputs.

        Parameters
        ----------
        network : Network
            With outputs like the original's.

        Returns
        -------
        error : OutputChange
            Over all samples.
        outputs : ndarray of float64, shape (samples, values)
            Its outputs, for :meth:`error_in`.
        """
        outputs = _outputs(network, self.samples, self.tensors)
        return self.error_in(outputs), outputs

    def error_in(self, outputs: NDArray[np.float64]) -> OutputChange:
        """The error of outputs, shape (samples, values)."""
        signal, noise = np.square(self.outputs).sum(), np.square(outputs - self.outputs).sum()
        ratio = math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise)
        if self.labels is None:
            return OutputChange(ratio)
        right, before = (float((one.argmax(axis=1) == self.labels).mean()) for one in (outputs, self.outputs))
        return OutputChange(ratio, 100 * (before - right))


def _outputs(network: Network, samples: Samples, tensors: tuple[str, ...] | None) -> NDArray[np.float64]:
    steps = output_steps(network, tensors)
    with Runtime(network.path, network.file_format, fetch=tensors or ()) as runtime:
        rows = [_row(runtime.run(feeds, tensors or runtime.outputs), steps) for feeds in samples.feeds]
    return np.stack(rows)


def _row(outputs: dict[str, NDArray[Any]], steps: dict[str, tuple[float, int]]) -> NDArray[np.float64]:
    parts = []
    for name, values in outputs.items():
        if values.dtype.kind in "iu" and name not in steps:
            raise InputError(
                f"error budget: expected outputs whose scale is known, got integers in '{name}' without one; "
                "take a model with float outputs"
            )
        scale, zero_point = steps.get(name, (1.0, 0))
        parts.append(scale * (values.reshape(-1).astype(np.float64) - zero_point))
    return np.nan_to_num(np.concatenate(parts))
