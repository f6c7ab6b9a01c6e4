"""Measured energies in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.errors import InputError
from fewflips.training.hamming.weight_streams import WeightStream
from fewflips.training.switching.layer_energies import LayerEnergies


def energies_state(energies: Sequence[LayerEnergies]) -> dict[str, Any]:
    """Tensors and plain values; tables that layers share are kept once.

    Parameters
    ----------
    energies : sequence of LayerEnergies
        One a layer; none before they are measured.

    Returns
    -------
    dict
        For :func:`energies_from_state`.
    """
    tables: dict[bytes, int] = {}
    kept: list[Tensor] = []

    def place(table: NDArray[np.float64] | None) -> int | None:
        if table is None:
            return None
        content = table.tobytes()
        if content not in tables:
            tables[content] = len(kept)
            kept.append(torch.from_numpy(table.copy()))
        return tables[content]

    layers = [
        {"repeats": one.repeats, "steps": place(one.steps_fj), "held": place(one.held_fj), "fixed_fj": one.fixed_fj}
        for one in energies
    ]
    return {"tables": kept, "layers": layers}


def energies_from_state(state: Any, streams: Sequence[WeightStream]) -> tuple[list[LayerEnergies], float]:
    """What :func:`energies_state` kept, and the energy at the start.

    Parameters
    ----------
    state : object
        Meant to be what ``SwitchingLoss.state_dict`` gave.
    streams : sequence of WeightStream
        Layers of the network that it is to be taken over for.

    Returns
    -------
    list of LayerEnergies
        One a layer; none if they were not measured yet.
    float
        Energy at the start, in picojoules.

    Raises
    ------
    InputError
        If a part is missing, damaged, or of another network.
    """
    kept = state.get("energies") if isinstance(state, Mapping) else None
    start_pj = state.get("start_pj") if isinstance(state, Mapping) else None
    if not isinstance(kept, Mapping) or not _is_energy(start_pj):
        raise _differs("one without energies")
    tables, layers = kept.get("tables"), kept.get("layers")
    if not isinstance(tables, list) or not isinstance(layers, list) or len(layers) not in (0, len(streams)):
        raise _differs("one with energies of other layers")
    found = [_layer(tables, layer, stream) for layer, stream in zip(layers, streams, strict=False)]
    if found and not start_pj:
        raise _differs("one without the energy at the start")
    return found, start_pj


def _layer(tables: list[Any], layer: Any, stream: WeightStream) -> LayerEnergies:
    codes = 1 << stream.word_bits
    if not isinstance(layer, Mapping) or type(layer.get("repeats")) is not int or not _is_energy(layer.get("fixed_fj")):
        raise _differs(f"other energies of layer {stream.view.name} {stream.view.shape}")
    steps = _table(tables, layer.get("steps"), (codes, codes), stream)
    held = _table(tables, layer.get("held"), (codes,), stream)
    return LayerEnergies(layer["repeats"], steps, held, float(layer["fixed_fj"]))


def _table(tables: list[Any], place: Any, shape: tuple[int, ...], stream: WeightStream) -> NDArray[np.float64] | None:
    if place is None:
        return None
    table = tables[place] if type(place) is int and 0 <= place < len(tables) else None
    if (
        not isinstance(table, Tensor)
        or table.dtype != torch.float64
        or tuple(table.shape) != shape
        or not bool(torch.isfinite(table).all())
    ):
        raise _differs(f"other energies of layer {stream.view.name} {stream.view.shape}")
    return table.cpu().numpy().copy()


def _is_energy(number: Any) -> TypeGuard[float]:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)


def _differs(got: str) -> InputError:
    return InputError(f"SwitchingLoss: expected the state of this network on this machine, got {got}")
