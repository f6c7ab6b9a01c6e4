"""A rewritten model, checked before it is given out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from fewflips.dataflows.orders import natural_orders
from fewflips.errors import ModelError, VerificationError
from fewflips.execution.samples import Samples
from fewflips.files.leftovers import temporary_folder
from fewflips.files.result_folder import digests
from fewflips.machine import Accelerator
from fewflips.measurement.counting import LayerCount, count_network
from fewflips.network import Network, load, rewrite
from fewflips.optimization.channel_orders import ChannelPlan, drop_in_certificates, plan_channels
from fewflips.optimization.segment_orders import Certificate
from fewflips.ordering import Effort
from fewflips.progress import Progress
from fewflips.verification.equivalence import Comparison, check_drop_in
from fewflips.verification.outputs import compare_outputs
from fewflips.verification.structure import StructureComparison, check_structure, compare_structure


@dataclass(frozen=True, eq=False)
class DropIn:
    """A rewritten model, checked.

    Parameters
    ----------
    network : Network
        Read back from the new file.
    plan : ChannelPlan
        Orders of the channel groups.
    structure : StructureComparison
        Constants and everything else of the original and the new file.
    comparison : Comparison
        Outputs of the original and the new model.
    certificates : dict of str to Certificate
        Lower bounds of each layer under one order for all its segments.
    counts : dict of str to LayerCount
        Flips of the new model in natural order.
    folder : TemporaryDirectory
        Where the new file lies, with those that belong to it.
    digests : dict of str to str
        SHA-256 of each file as it was checked.
    """

    network: Network
    plan: ChannelPlan = field(repr=False)
    structure: StructureComparison
    comparison: Comparison
    certificates: dict[str, Certificate] = field(repr=False)
    counts: dict[str, LayerCount] = field(repr=False)
    folder: tempfile.TemporaryDirectory[str] = field(repr=False)
    digests: dict[str, str] = field(repr=False)


def make_drop_in(
    network: Network,
    array: Accelerator,
    samples: Samples | None,
    effort: Effort,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> DropIn:
    """Rewrite a model with its channels in an order with fewer flips, and check the file.

    Parameters
    ----------
    network : Network
        The original.
    array : Accelerator
        The machine.
    samples : Samples or None
        Sample inputs for the comparison of outputs, beside random ones.
    effort : Effort
        Work limit of the solver.
    seed : int
        Of the solver and of the random inputs.
    jobs : int
        Processors to use; -1 for all.
    progress : callable or None
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    DropIn
        Its file lies in a temporary folder.

    Raises
    ------
    VerificationError
        If the file cannot be read back, holds anything that no order explains, or computes something else.
    RuntimeFailure
        If a runtime refuses the original or the copy.
    """
    plan = plan_channels(network, array, effort=effort, seed=seed, jobs=jobs, progress=progress)
    folder = temporary_folder("fewflips-model-")
    path = Path(folder.name) / f"model.{network.file_format}"
    rewrite(network, plan.groups.permutations(plan.orders), path)
    checked = digests({file.name: file.read_bytes() for file in path.parent.iterdir()})
    rewritten = _read_back(path)
    structure = compare_structure(network, rewritten, plan.orders)
    check_structure(network, path, structure)
    comparison = compare_outputs(network, rewritten, structure, samples, seed=seed, progress=progress)
    check_drop_in(network, path, comparison)
    counts = count_network(rewritten, array, [natural_orders(rewritten, array)], samples, progress)[0]
    codes = [count.decoded.weights.within for count in counts.values()]
    flips = {layer.name: count for layer, count in zip(network.layers, codes, strict=True)}
    bound_effort = effort if effort == Effort.prove() else Effort.quick()
    certificates = drop_in_certificates(
        network, array, flips, effort=bound_effort, seed=seed, jobs=jobs, progress=progress
    )
    return DropIn(rewritten, plan, structure, comparison, certificates, counts, folder, checked)


def _read_back(path: Path) -> Network:
    try:
        return load(path)
    except ModelError as error:
        raise VerificationError(f"{path.name} cannot be read back: {error}; it was not written") from error
