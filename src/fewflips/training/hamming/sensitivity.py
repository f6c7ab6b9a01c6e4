"""How much the loss minds a change of each layer's codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from fewflips.training.weight_views import WeightView

MOMENTUM = 0.05
EVERY = 5
"""Steps between two looks at the gradients."""

GENTLEST, HARDEST = 1 / 1000, 20.0
"""How much less, and more, a layer may be pressed than the average one."""


class Sensitivity:
    """Running mean of the squared gradient of the codes, by output channel: the diagonal of an empirical Fisher matrix.

    Gradients are seen when they are accumulated, whatever the training loop does with them afterwards.

    Parameters
    ----------
    views : sequence of WeightView
        The layers.
    """

    def __init__(self, views: Sequence[WeightView]) -> None:
        self._squares: list[Tensor | None] = [None] * len(views)
        self._calls = [0] * len(views)
        self._handles = [self._watch(i, view) for i, view in enumerate(views)]

    def _watch(self, index: int, view: WeightView) -> Any:
        known, seen = ref(self), ref(view)  # a hook that held them would keep the layer alive for ever

        def note(weight: Tensor) -> None:
            sensitivity, layer = known(), seen()
            if sensitivity is not None and layer is not None:
                sensitivity._note(index, layer, weight)

        return view.weight.register_post_accumulate_grad_hook(note)

    @torch.no_grad()
    def _note(self, index: int, view: WeightView, weight: Tensor) -> None:
        self._calls[index] += 1
        if weight.grad is None or self._calls[index] % EVERY != 1:
            return
        scale, _ = view.scale_and_offset()
        squares = (weight.grad.reshape(len(scale), -1).float() * scale).reshape(view.shape).square().mean(1).cpu()
        if not torch.isfinite(squares).all():
            return  # reported by the loss
        before = self._squares[index]
        self._squares[index] = squares if before is None else before.lerp_(squares, MOMENTUM)

    def pressures(self, squares: Sequence[float], balance: float) -> list[float]:
        """How hard each layer may be pressed, relative to the average one.

        A layer's sensitivity is its mean squared gradient times its squared codes, summed over its weights: how much
        the loss minds a relative change. The average is geometric.

        Parameters
        ----------
        squares : sequence of float
            Squared codes of each layer, summed over its weights.
        balance : float
            0: all alike; 1: in inverse proportion to the sensitivity.

        Returns
        -------
        list of float
            From 1/1000 to 20; 1 for layers of which no gradient was seen.
        """
        known = [self._of_layer(index) * square for index, square in enumerate(squares)]
        seen = [math.log(value) for value in known if value]
        average = sum(seen) / len(seen) if seen else 0.0
        return [
            min(max(math.exp(balance * (average - math.log(value))), GENTLEST), HARDEST) if value else 1.0
            for value in known
        ]

    def _of_layer(self, index: int) -> float:
        """Mean squared gradient of a layer's codes; 0 until one was seen."""
        squares = self._squares[index]
        return 0.0 if squares is None else float(squares.mean())

    def curvature(self, index: int, channels: int) -> Tensor:
        """Relative weight of squared distances by output channel: float32, shape (N,), about 1 on average.

        The square root of the squared gradient's share, within a factor of four: single channels are known badly.
        """
        squares = self._squares[index]
        if squares is None or float(squares.mean()) == 0.0:
            return torch.ones(channels)
        return (squares / squares.mean()).sqrt().clamp(0.25, 4.0)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"squares": [None if s is None else s.clone() for s in self._squares], "calls": list(self._calls)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._squares = [None if s is None else s.cpu().clone() for s in state["squares"]]
        self._calls = list(state["calls"])

    def close(self) -> None:
        """Look at no more gradients."""
        for handle in self._handles:
            handle.remove()
