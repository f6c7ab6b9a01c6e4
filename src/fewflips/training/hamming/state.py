"""Whether the HD term's state in a checkpoint is that of a network's streams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fewflips.errors import InputError
from fewflips.training.checkpoints import is_like
from fewflips.training.hamming.weight_streams import WeightStream

_NUMBERS = ("step", "progress")
_LISTS = ("squares", "assigned", "orders")


def check_hamming_state(state: Any, streams: Sequence[WeightStream]) -> None:
    """Refuse a state that does not fit.

    Parameters
    ----------
    state : object
        Meant to be what ``HammingLoss.state_dict`` gave.
    streams : sequence of WeightStream
        Of the network that it is to be taken over for.

    Raises
    ------
    InputError
        If a part is missing, of another kind, of another network or accelerator.
    """
    if not isinstance(state, Mapping):
        raise _differs(f"a {type(state).__name__}")
    numbers = [state.get(name) for name in _NUMBERS]
    value = state.get("value", math.nan)
    plain = all(_is_finite(number) for number in numbers) and (value is None or _is_finite(value))
    if not plain or not isinstance(state.get("frozen"), bool) or not isinstance(state.get("sensitivity"), Mapping):
        raise _differs("one with parts missing")
    squares, assigned, orders = ([*state[name]] if isinstance(state.get(name), list) else [] for name in _LISTS)
    if not (len(squares) == len(orders) == len(streams) and all(_is_finite(square) for square in squares)):
        raise _differs("another's")
    if len(assigned) not in ((len(streams),) if state["frozen"] else (0, len(streams))):
        raise _differs("one with codes of other layers")
    for stream, saved in zip(streams, orders, strict=True):
        if len(saved) != len(stream.orders) or not all(map(_is_order, saved, stream.orders)):
            raise _differs(f"another order of layer {stream.view.name} {stream.view.shape}")
    for stream, codes in zip(streams, assigned, strict=False):
        if not _are_codes(codes, stream):
            raise _differs(f"other codes of layer {stream.view.name} {stream.view.shape}")
    _check_sensitivity(state["sensitivity"], streams)


def _check_sensitivity(state: Mapping[str, Any], streams: Sequence[WeightStream]) -> None:
    seen, calls = state.get("squares"), state.get("calls")
    if not isinstance(seen, list) or not isinstance(calls, list) or not len(seen) == len(calls) == len(streams):
        raise _differs("one with gradients of other layers")
    for stream, gradients, count in zip(streams, seen, calls, strict=True):
        if type(count) is not int or not (gradients is None or _are_squares(gradients, stream)):
            raise _differs(f"other gradients of layer {stream.view.name} {stream.view.shape}")


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number) and number >= 0


def _is_order(saved: Any, present: Any) -> bool:
    if not isinstance(saved, Tensor) or saved.dtype != torch.int64 or tuple(saved.shape) != present.shape:
        return False
    return bool(torch.equal(saved.cpu().sort().values, torch.arange(len(present))))


def _are_codes(codes: Any, stream: WeightStream) -> bool:
    view = stream.view
    if not isinstance(codes, Tensor) or codes.dtype != torch.int16 or tuple(codes.shape) != tuple(view.shape):
        return False
    return int(codes.min()) >= view.low and int(codes.max()) <= view.high


def _are_squares(gradients: Any, stream: WeightStream) -> bool:
    model = torch.zeros(stream.view.shape[0])
    return is_like(gradients, model) and bool(torch.isfinite(gradients).all() and (gradients >= 0).all())


def _differs(got: str) -> InputError:
    return InputError(f"HammingLoss: expected the state of this network on this accelerator, got {got}")
