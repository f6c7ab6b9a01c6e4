"""Compares outputs of two models, and inner tensors if the structures say which channel is which."""

from __future__ import annotations

from dataclasses import replace

from fewflips.execution.samples import Samples
from fewflips.network.graph import Network
from fewflips.network.layouts import groups_in
from fewflips.progress import Progress
from fewflips.verification.channel_moves import new_positions
from fewflips.verification.equivalence import Comparison, Intermediate, compare_models
from fewflips.verification.structure import StructureComparison


def compare_outputs(
    network: Network,
    other: Network,
    structure: StructureComparison | None,
    samples: Samples | None,
    *,
    random_inputs: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Run two models on the same inputs.

    Parameters
    ----------
    network, other : Network
        The models.
    structure : StructureComparison or None
        Comparison of their structures; if these are equal, the integer inputs of all layers are also compared.
    samples : Samples or None
        Sample inputs.
    random_inputs : int
        Number of additional random inputs.
    seed : int
        Seed of the random inputs.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Comparison
        The result; not in integers where floats are added over channels that moved, whatever products are computed in.

    Raises
    ------
    VerificationError
        If the models do not have the same inputs and outputs.
    RuntimeFailure
        If a runtime refuses a model.
    """
    comparison = compare_models(
        network.path,
        other.path,
        (network.file_format, other.file_format),
        samples,
        intermediates=_layer_inputs(network, structure) if structure is not None and structure.equal else (),
        random_inputs=random_inputs,
        seed=seed,
        progress=progress,
    )
    if structure is not None and structure.adds_floats:
        return replace(comparison, in_integers=False)
    return comparison


def _layer_inputs(network: Network, structure: StructureComparison) -> list[Intermediate]:
    """The integer inputs of all layers, with the positions of their channels in the other model."""
    names = dict.fromkeys(layer.input_tensor for layer in network.layers if layer.input_tensor)
    tensors = []
    for name in names:
        layout = structure.groups.layouts.get(name, ())
        moved = any(group in structure.orders for group in groups_in(layout))
        positions = new_positions(layout, structure.groups, structure.orders) if moved else None
        if name not in network.inputs:
            tensors.append(Intermediate(name, network.tensors[name].channel_axis if moved else None, positions))
    return tensors
