"""The shape parameters that a view needs."""

from __future__ import annotations

from torch import Tensor, nn


def geometry(module: nn.Module) -> tuple[int, int]:
    """Groups and kernel positions of a convolution; 1 and 1 for a linear layer."""
    weight, groups = module.weight, getattr(module, "groups", 1)
    assert isinstance(weight, Tensor)
    assert isinstance(groups, int)
    return groups, weight[0, 0].numel()
