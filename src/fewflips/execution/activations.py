"""Integer activations of a network's layers, as computed by a runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import ModelError
from fewflips.execution.drawn_activations import DRAWN
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, load_samples
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.network.on_the_fly import quantized_rows
from fewflips.progress import Progress
from fewflips.records.notes import StandingNote


def read_samples(network: Network, inputs: str | Path | None) -> tuple[Samples | None, tuple[str, ...]]:
    """Sample inputs that fit a network, and remarks on them for the report."""
    if inputs is None:
        return None, (StandingNote.NO_SAMPLE_INPUTS,)
    with Runtime(network.path, network.file_format) as runtime:
        samples = load_samples(Path(inputs), runtime.inputs)
    unknown = [layer.name for layer in network.layers if layer.input_tensor is None]
    notes = [f"Sample inputs: {samples.note}."]
    if unknown:
        notes.append(f"Activations of {len(unknown)} layers are not integers in the file and were not measured.")
    return samples, tuple(notes)


def measurable_layers(network: Network) -> list[Layer]:
    """Layers whose activations are integers in the file."""
    return [layer for layer in network.layers if layer.input_tensor is not None and layer.activation_type is not None]


def run_samples(
    network: Network, samples: Samples, progress: Progress | None = None
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Run the network on each sample and yield the integer input tensors of its layers, by name."""
    fetch = dict.fromkeys(layer.input_tensor for layer in measurable_layers(network) if layer.input_tensor)
    yield from run_for(network, samples, list(fetch), progress)


def run_for(
    network: Network, samples: Samples, fetch: list[str], progress: Progress | None = None
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Run the network on each sample and yield some of its tensors, by name."""
    if samples.source == DRAWN:
        yield from samples.feeds
        return
    with Runtime(network, fetch=fetch) as runtime:
        for done, feeds in enumerate(samples.feeds):
            yield runtime.run(feeds, fetch)
            if progress:
                progress("running the samples", done + 1, len(samples.feeds))


def lowered_rows(layer: Layer, tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.integer]:
    """Activations of a layer as the rows of its product, shape (G, M, K)."""
    if layer.input_tensor is None:
        raise ModelError(f"{layer}: its activations are not integers in the file")
    tensor = tensors[layer.input_tensor]
    rows = layer.lowering.rows(tensor, layer.groups, layer.activation_zero_point or 0)
    if rows.shape[1:] != (layer.m, layer.k):
        raise ModelError(f"{layer}: expected {layer.m} x {layer.k} activations, the runtime gave {rows.shape[1:]}")
    if layer.left.on_the_fly and layer.activation_type is not None:
        return quantized_rows(rows, layer.activation_type)
    return rows
