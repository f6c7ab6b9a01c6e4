"""Checks whether two models compute the same outputs, by running both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import VerificationError
from fewflips.execution.runtimes import FileFormat, Runtime
from fewflips.execution.samples import Samples, random_feeds
from fewflips.network.graph import Network
from fewflips.progress import Progress

FLOAT_TOLERANCE = 0.05
"""Largest difference allowed for a model executed in float, as a share of the largest output."""


@dataclass(frozen=True, eq=False)
class Intermediate:
    """A tensor inside both models.

    Parameters
    ----------
    name : str
        Its name.
    axis : int or None
        The axis of its channels.
    positions : ndarray of int64, shape (channels,), or None
        Position in the second model of each channel of the first; None if the positions are the same.
    """

    name: str
    axis: int | None = None
    positions: NDArray[np.int64] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Comparison:
    """Outputs of two models on the same inputs, and tensors inside them on the first input.

    Parameters
    ----------
    runtime : str
        The runtimes that executed them.
    sample_inputs, random_inputs : int
        Number of sample and random inputs compared.
    values : int
        Number of output values compared.
    equal : int
        How many of them are equal bit for bit.
    largest_difference : float
        Largest absolute difference, in the output's own unit.
    largest_output : float
        Largest absolute output of the first model.
    in_integers : bool
        Whether the runtime computes all quantized products of the first model in integers.
    intermediate_tensors, intermediate_values, intermediate_equal : int
        Numbers of inner tensors compared, of their values, and of values equal bit for bit.
    intermediate_difference : float
        Largest difference in an inner tensor, as a share of that tensor's largest value.
    """

    runtime: str
    sample_inputs: int
    random_inputs: int
    values: int
    equal: int
    largest_difference: float
    largest_output: float
    in_integers: bool
    intermediate_tensors: int = 0
    intermediate_values: int = 0
    intermediate_equal: int = 0
    intermediate_difference: float = 0.0

    @property
    def bit_exact(self) -> bool:
        """Whether all values are equal, of outputs and of inner tensors."""
        return self.equal == self.values and self.intermediate_equal == self.intermediate_values

    @property
    def equal_share(self) -> float:
        """Share of equal values."""
        return self.equal / self.values if self.values else 1.0

    def describe(self) -> str:
        """One sentence."""
        inside = f"{self.intermediate_values} values of {self.intermediate_tensors} tensors inside"
        if self.bit_exact:
            also = f", and {inside}," if self.intermediate_tensors else ""
            verdict = f"all {self.values} output values{also} are equal bit for bit"
        else:
            verdict = (
                f"{self.equal_share:.4%} of {self.values} output values are equal, "
                f"the largest difference is {self.largest_difference:g}"
            )
            if self.intermediate_tensors:
                verdict += f"; {self.intermediate_equal / max(1, self.intermediate_values):.4%} of {inside} are equal"
        arithmetic = "in integers" if self.in_integers else "partly in float, rounding as sums are ordered"
        inputs = f"{self.sample_inputs} sample and {self.random_inputs} random inputs"
        return f"{self.runtime} ({arithmetic}) on {inputs}: {verdict}"


def compare_models(
    first: Path,
    second: Path,
    file_formats: tuple[FileFormat, FileFormat],
    samples: Samples | None,
    *,
    intermediates: Sequence[Intermediate] = (),
    random_inputs: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Run two models on the same inputs and compare every output and, on the first input, inner tensors.

    Parameters
    ----------
    first, second : Path
        The models.
    file_formats : pair of {"tflite", "onnx"}
        Their formats.
    samples : Samples or None
        Sample inputs.
    intermediates : sequence of Intermediate
        Inner tensors that both models compute identically except for the order of channels.
    random_inputs : int
        Number of additional random inputs.
    seed : int
        Seed of the random inputs.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Comparison
        The result.

    Raises
    ------
    VerificationError
        If the models do not have the same inputs and outputs.
    RuntimeFailure
        If a runtime refuses a model.
    """
    with Runtime(first, file_formats[0]) as left, Runtime(second, file_formats[1]) as right:
        _check_signatures(left, right)
        sample_feeds = samples.feeds if samples else ()
        feeds = [*sample_feeds, *random_feeds(left.inputs, random_inputs, seed)]
        values, equal, difference, largest = 0, 0, 0.0, 0.0
        in_integers = left.executes_in_integers()
        for done, feed in enumerate(feeds):
            outputs, others = left.run(feed, left.outputs), right.run(_renamed(feed, left, right), right.outputs)
            for name, other_name in zip(left.outputs, right.outputs, strict=True):
                output, other = outputs[name], others[other_name]
                values += output.size
                equal += _equal_values(output, other)
                difference = max(difference, _largest_difference(output, other))
                largest = max(largest, _largest_magnitude(output))
            if progress:
                progress("comparing outputs", done + 1, len(feeds))
        names = {spec.name: other.name for spec, other in zip(left.inputs, right.inputs, strict=True)}
    inside = _compare_inside((first, second), file_formats, intermediates, feeds[0] if feeds else {}, names)
    return Comparison(
        runtime={"tflite": "LiteRT", "onnx": "ONNX Runtime"}[file_formats[0]],
        sample_inputs=len(sample_feeds),
        random_inputs=random_inputs,
        values=values,
        equal=equal,
        largest_difference=difference,
        largest_output=largest,
        in_integers=in_integers,
        **inside,
    )


def _compare_inside(
    paths: tuple[Path, Path],
    file_formats: tuple[FileFormat, FileFormat],
    intermediates: Sequence[Intermediate],
    feed: Mapping[str, NDArray[np.generic]],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """Compare inner tensors of two models on one input; keys are names of fields of :class:`Comparison`."""
    if not intermediates or not feed:
        return {}
    fetch = [tensor.name for tensor in intermediates]
    with Runtime(paths[0], file_formats[0], fetch) as left:
        expected = left.run(feed, fetch)
    with Runtime(paths[1], file_formats[1], fetch) as right:
        found = right.run({names[name]: value for name, value in feed.items()}, fetch)
    values, equal, share = 0, 0, 0.0
    for tensor in intermediates:
        one, other = expected[tensor.name], found[tensor.name]
        if tensor.positions is not None and tensor.axis is not None:
            other = other.take(tensor.positions, axis=tensor.axis)
        values += one.size
        equal += _equal_values(one, other)
        share = max(share, _largest_difference(one, other) / (_largest_magnitude(one) or 1.0))
    return {
        "intermediate_tensors": len(intermediates),
        "intermediate_values": values,
        "intermediate_equal": equal,
        "intermediate_difference": share,
    }


def check_drop_in(original: Network, rewritten: Path, comparison: Comparison) -> None:
    """Raise :class:`VerificationError` unless a rewritten model passes the comparison.

    Parameters
    ----------
    original : Network
        The model that was rewritten.
    rewritten : Path
        The new file.
    comparison : Comparison
        Outputs of both. If the runtime computes in integers, every bit must agree. Otherwise rounding may differ when
        channels are summed in another order, and outputs must agree within :data:`FLOAT_TOLERANCE` of the largest
        output, inner tensors within that of their own largest value.
    """
    if comparison.bit_exact:
        return
    close = comparison.largest_difference <= FLOAT_TOLERANCE * comparison.largest_output
    if comparison.in_integers or not close or comparison.intermediate_difference > FLOAT_TOLERANCE:
        raise VerificationError(
            f"{rewritten.name} does not compute what {original.path.name} computes: {comparison.describe()}; "
            "it was not written"
        )


def _check_signatures(left: Runtime, right: Runtime) -> None:
    described = [
        [(tuple(spec.shape), np.dtype(spec.dtype).name) for spec in runtime.inputs] for runtime in (left, right)
    ]
    if described[0] != described[1]:
        raise VerificationError(f"the models have different inputs: {described[0]} and {described[1]}")
    if len(left.outputs) != len(right.outputs):
        raise VerificationError(f"the models have {len(left.outputs)} and {len(right.outputs)} outputs")


def _renamed(feed: Mapping[str, NDArray[np.generic]], left: Runtime, right: Runtime) -> dict[str, NDArray[np.generic]]:
    names = {spec.name: other.name for spec, other in zip(left.inputs, right.inputs, strict=True)}
    return {names[name]: value for name, value in feed.items()}


def _equal_values(output: NDArray[np.generic], other: NDArray[np.generic]) -> int:
    if output.shape != other.shape:
        raise VerificationError(f"the models' outputs have shapes {output.shape} and {other.shape}")
    return int(_same(output, other).sum())


def _same(output: NDArray[np.generic], other: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where two outputs are equal bit for bit: 0.0 is not -0.0; any NaN equals any NaN."""
    same = output == other
    if output.dtype.kind == "f" and other.dtype.kind == "f":
        same &= np.signbit(output) == np.signbit(other)
        same |= np.isnan(output) & np.isnan(other)
    return np.asarray(same)


def _largest_difference(output: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    differs = ~_same(output, other)
    difference = np.abs(output[differs].astype(np.float64) - other[differs].astype(np.float64))
    return float("inf") if np.isnan(difference).any() else float(difference.max(initial=0.0))


def _largest_magnitude(output: NDArray[np.generic]) -> float:
    return float(np.abs(np.nan_to_num(output.astype(np.float64))).max()) if output.size else 0.0
