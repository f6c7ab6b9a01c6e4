"""Optimizers of both stages."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn


def make_optimizer(
    kind: Literal["sgd", "adam"], network: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimizer of a network's parameters.

    Parameters
    ----------
    kind : {"sgd", "adam"}
        SGD with Nesterov momentum 0.9; or Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and
        Hutter, 2019, AdamW).
    network : nn.Module
        The network to train.
    learning_rate : float
        Initial learning rate.
    weight_decay : float
        Weight decay of weights; biases, scales and batch normalization have none.

    Returns
    -------
    torch.optim.Optimizer
        Optimizer with two groups of parameters.
    """
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in network.parameters() if parameter.ndim > 1]},
        {"params": [parameter for parameter in network.parameters() if parameter.ndim <= 1]},
    ]
    groups[0]["weight_decay"], groups[1]["weight_decay"] = weight_decay, 0.0
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=learning_rate)
