"""Checks that the parts of a checkpoint from which a stage continues are ones that such a stage writes.

A tensor of another shape or type, or text instead of a number, would otherwise cause an error steps later, in PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fewflips.training.checkpoints import is_like

_Amount = Annotated[int, Field(ge=0, strict=True)]


class SavedTally(BaseModel):
    """Sums over the steps of an epoch so far.

    Attributes
    ----------
    losses : dict of str to float
        Each term of the loss, summed over the steps.
    hits, images, steps : int
        Numbers of correctly classified images, of all images, and of steps.
    seconds : float
        Time spent on them.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    losses: dict[str, Annotated[float, Field(strict=True)]]
    hits: _Amount
    images: _Amount
    steps: _Amount
    seconds: Annotated[float, Field(ge=0, strict=True)]


def check_random(state: Mapping[str, Any]) -> None:
    """Raise :class:`ValueError` unless these are states of PyTorch's random generators.

    Parameters
    ----------
    state : mapping
        ``data`` and ``torch``: states of generators on the CPU; ``cuda``: a list with one per device, or empty.
    """
    expected = torch.Generator().get_state()
    for name in ("data", "torch"):
        _check_tensor(f"random.{name}", state.get(name), expected)
        torch.Generator().set_state(state[name])
    devices = state.get("cuda", [])
    if not isinstance(devices, list) or not all(_is_bytes(device) for device in devices):
        raise ValueError(f"random.cuda: expected a list of states, got {_described(devices)}")


def optimizer_state(optimizer: torch.optim.Optimizer, state: Any) -> dict[str, Any]:
    """A copy of an optimizer's state, checked to be one that it has after some steps or before the first.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Optimizer of the parameters to which the state belongs.
    state : object
        ``param_groups`` like the optimizer's, except for the learning rate; ``state``: for each parameter either
        nothing or tensors, which have the parameter's shape and type or are single numbers.

    Returns
    -------
    dict
        The same, with tensors that share no memory and have no hooks or gradients.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(state, dict) or not isinstance(state.get("state"), dict):
        raise ValueError(f"optimizer: expected its state, got {_described(state)}")
    _check_groups(optimizer.state_dict()["param_groups"], state.get("param_groups"))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, entries in state["state"].items():
        if type(index) is not int or not 0 <= index < len(parameters) or not isinstance(entries, dict):
            raise ValueError(f"optimizer.state: expected parameters 0 to {len(parameters) - 1}, got {index!a:.50}")
        for name, value in entries.items():
            expected = torch.zeros(()) if name == "step" else parameters[index]
            if name not in _STATES[type(optimizer)]:
                raise ValueError(f"optimizer.state: expected {', '.join(_STATES[type(optimizer)])}, got {name!a:.50}")
            if value is not None or name != "momentum_buffer":
                _check_tensor(f"optimizer.state.{index}.{name}", value, expected)
        if set(entries) != set(_STATES[type(optimizer)]):
            raise ValueError(f"optimizer.state.{index}: expected {', '.join(_STATES[type(optimizer)])}, got fewer")
    own = {
        index: {name: None if value is None else value.detach().clone() for name, value in entries.items()}
        for index, entries in state["state"].items()
    }
    return {"state": own, "param_groups": state["param_groups"]}


_STATES: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
}


def _check_groups(expected: list[dict[str, Any]], groups: Any) -> None:
    """Check an optimizer's options against the configuration's, except the learning rate, which changes."""
    if not isinstance(groups, list) or len(groups) != len(expected):
        raise ValueError(f"optimizer.param_groups: expected {len(expected)} groups, got {_described(groups)}")
    for own, group in zip(expected, groups, strict=True):
        if not isinstance(group, dict) or set(group) != set(own):
            raise ValueError(f"optimizer.param_groups: expected {', '.join(own)}, got {_described(group)}")
        for name, value in own.items():
            if type(group[name]) is not type(value) or (name != "lr" and group[name] != value):
                raise ValueError(
                    f"optimizer.param_groups.{name}: expected {value!a:.50}, got {_described(group[name])}"
                )


def _check_tensor(name: str, value: Any, expected: Tensor) -> None:
    if not is_like(value, expected):
        raise ValueError(f"{name}: expected a {_described(expected)}, got {_described(value)}")


def _is_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.layout == torch.strided


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {list(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    return f"{type(value).__name__}"
