"""Verify that a rewritten model, or a schedule, computes what the original computes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fewflips.measurement import printable_name, read_samples
from fewflips.network import load
from fewflips.network.equivalence import compare_models
from fewflips.optimization import check_schedule
from fewflips.progress import Progress
from fewflips.report.build import comparison_check
from fewflips.report.model import Check
from fewflips.schedule import read_schedule, schedule_orders


class Verification(BaseModel):
    """Result of :func:`verify`.

    Attributes
    ----------
    first, second : str
        The files that were compared.
    check : Check
        What was executed and found; ``check.passed`` says whether all values are equal.
    """

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    check: Check


def verify(
    first: str | Path,
    second: str | Path,
    *,
    inputs: str | Path | None = None,
    random_inputs: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Run two models on the same inputs, or execute a schedule against its model.

    Parameters
    ----------
    first : str or Path
        A TFLite or ONNX model.
    second : str or Path
        Another model with the same inputs and outputs, or a ``schedule.json`` made for the first.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file.
    random_inputs : int
        Further inputs, drawn at random (models only).
    seed : int
        Of the random inputs.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Verification
        What was found. Models that differ are a result, not an error.

    Raises
    ------
    FewflipsError
        If a file cannot be used.
    VerificationError
        If a schedule computes something else, or the models cannot be compared.
    """
    names = (printable_name(str(first)), printable_name(str(second)))
    network = load(first)
    samples, _ = read_samples(network, inputs)
    if Path(second).suffix == ".json":
        schedule = read_schedule(Path(second))
        orders = schedule_orders(schedule, network)
        check = check_schedule(network, schedule.accelerator, orders, samples, seed, progress)
        return Verification(first=names[0], second=names[1], check=check)
    other = load(second)
    comparison = compare_models(
        network.path,
        other.path,
        (network.file_format, other.file_format),
        samples,
        random_inputs=random_inputs,
        seed=seed,
        progress=progress,
    )
    return Verification(
        first=names[0], second=names[1], check=comparison_check(comparison, passed=comparison.bit_exact)
    )
