"""What the search for rounded codes knows of a network, on layers and outputs that are easily foreseen."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from benchmarks.rounding import expected_points_lost

from fewflips.execution.samples import Samples
from fewflips.network import Network
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.model_files import ModelFiles
from fewflips.optimization.rounding.layer import RoundedLayer
from fewflips.optimization.rounding.outputs import OutputChange, Reference
from fewflips.optimization.rounding.search import RoundingSearch
from fewflips.parallel.limit import Limit


class FakeLayer:
    """A layer of 1000 weights whose error is the sum of the squares of what it was disturbed by."""

    def __init__(self, effect: float) -> None:
        self.effect, self.sensitivity, self.error, self.tries = effect, 1.0, 0.0, 0

    def saved(self) -> float:
        return self.error

    def restore(self, state: float) -> None:
        self.error = state

    def disturb(self, steps: int, seed: int, share: float = 1.0) -> None:
        self.error = 1000 * share * steps * (steps + 1) / 3
        self.tries += 1


class FakeReference:
    """An output of 1, wrong by what the layers do to it, but never by more than 1, as probabilities are."""

    samples = Samples(({},), "", "")
    outputs = np.ones((1, 1))

    def __init__(self, layers: list[FakeLayer]) -> None:
        self._layers = layers

    def only(self, chosen: list[int]) -> FakeReference:
        return self

    def error_of(self, network: Network) -> tuple[OutputChange, Any]:
        noise = sum(layer.effect * layer.error for layer in self._layers)
        return OutputChange(0.0), self.outputs + min(noise, 1.0) ** 0.5


class Search(RoundingSearch):
    """Nothing is written: outputs follow from the layers."""

    def _write(self, layers: Any) -> tuple[Network, ModelFiles]:
        return cast("tuple[Network, ModelFiles]", (None, None))


def measured(layers: list[FakeLayer]) -> list[float]:
    search = Search(
        cast("Network", None),
        cast("list[RoundedLayer]", layers),
        cast("Reference", FakeReference(layers)),
        ErrorBudget(sqnr_db=20),
        cost=None,
        reorders=False,
        seed=0,
        jobs=1,
        limit=Limit(),
        progress=None,
    )
    search.measure_sensitivities([0])
    return [layer.sensitivity for layer in layers]


@pytest.mark.parametrize(("effect", "tries"), [(3e-7, 1), (4e-6, 2), (5e-5, 3), (1e-3, 4)])
def test_a_sensitive_layer_is_measured_with_less_noise(effect: float, tries: int) -> None:
    """Where 16 steps would make the outputs as wrong as can be, the measure would be too small."""
    layers = [FakeLayer(effect), FakeLayer(1e-6)]
    assert measured(layers) == pytest.approx([effect, 1e-6])
    assert layers[0].tries == tries
    assert layers[0].error == 0


def test_points_that_another_decision_is_expected_to_cost() -> None:
    """Against each sample's probabilities, written out."""
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    expected = 0.0
    for one, other in zip(before, after, strict=True):
        powers = [float(np.exp(value)) for value in one]
        expected += (max(powers) - powers[int(other.argmax())]) / sum(powers)
    assert expected_points_lost(before, after, logits=True) == pytest.approx(100 * expected / 50)
    assert expected_points_lost(before, 2 * before, logits=True) == 0
    softmax = np.exp(before) / np.exp(before).sum(axis=1, keepdims=True)
    assert expected_points_lost(softmax, after, logits=False) == pytest.approx(100 * expected / 50)
