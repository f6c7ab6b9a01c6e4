"""Verify that a rewritten model, or a schedule, computes what the original computes.

Outputs on a few inputs prove little: a flipped bit in one weight often changes none of them. So two files of one
format are also compared by their contents (:mod:`fewflips.verification.structure`) and by their inner tensors.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fewflips.errors import RuntimeFailure, VerificationError
from fewflips.execution.activations import read_samples
from fewflips.measurement.counting import count_network
from fewflips.network import load
from fewflips.progress import Progress
from fewflips.records.optimization import Check
from fewflips.schedule.binary import is_binary_schedule
from fewflips.schedule.file import read_schedule, schedule_orders
from fewflips.verification.checks import comparison_check
from fewflips.verification.outputs import compare_outputs
from fewflips.verification.schedule_check import check_schedule
from fewflips.verification.structure import compare_structure
from fewflips.visible import printable_name


class Verification(BaseModel):
    """Result of :func:`verify`.

    Attributes
    ----------
    first, second : str
        The files that were compared.
    check : Check
        What was executed, with its result; ``check.passed`` says whether all values are equal.
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
    """Compare two models by content and by outputs, or execute a schedule against its model.

    Two models of one format are equal if the second is the first with its channels reordered and otherwise
    identical, bit for bit; the order is recovered from the constants. Then both run on the same inputs. For models
    of different formats only outputs are compared, and the result says so.

    Parameters
    ----------
    first : str or Path
        A TFLite or ONNX model.
    second : str or Path
        Another model with the same inputs and outputs, or a ``schedule.json`` or ``schedule.bin`` made for the
        first.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file.
    random_inputs : int
        Number of additional random inputs (models only).
    seed : int
        Seed of the random inputs.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Verification
        The result. Models that differ are a result, not an error; `check.structure` names the differences.

    Raises
    ------
    FewflipsError
        If a file cannot be used.
    VerificationError
        If a schedule computes something else, or the models cannot be compared.

    Examples
    --------
    >>> verification = fewflips.verify("shapes.onnx", "shapes.onnx")
    >>> verification.check.passed
    True
    """
    names = (printable_name(str(first)), printable_name(str(second)))
    network = load(first)
    samples, _ = read_samples(network, inputs)
    if Path(second).suffix in (".json", ".bin") or is_binary_schedule(second):
        schedule = read_schedule(Path(second))
        orders = schedule_orders(schedule, network)
        check = check_schedule(network, schedule.accelerator, orders, samples, seed, progress)
        if schedule.accelerator.is_coded:  # whatever a port sends has to come back from its wires
            count_network(network, schedule.accelerator, [orders], samples, progress)
        return Verification(first=names[0], second=names[1], check=check)
    other = load(second)
    structure = compare_structure(network, other) if network.file_format == other.file_format else None
    try:
        comparison = compare_outputs(
            network, other, structure, samples, random_inputs=random_inputs, seed=seed, progress=progress
        )
    except RuntimeFailure as failure:
        if structure is None:
            raise
        raise VerificationError(f"{structure.describe()}; but outputs were not compared: {failure}") from failure
    return Verification(first=names[0], second=names[1], check=comparison_check(comparison, structure))
