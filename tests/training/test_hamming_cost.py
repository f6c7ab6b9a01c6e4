"""The HD term under costs other than flips: by plain sums, brute force, and finite differences."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.errors import InputError  # noqa: E402
from fewflips.streams.transition_cost import TransitionCost  # noqa: E402
from fewflips.training import HammingLoss, HammingOptions  # noqa: E402
from fewflips.training.quantization.quantized_layers import QuantizedLinear  # noqa: E402

METHODS = ("assignment", "envelope", "smoothed", "bilinear")
WEIGHTS = (3, 0, 7, 1, 2, 9, 4, 30)


def table(bits: int) -> TransitionCost:
    upper = np.triu(np.random.default_rng(bits).integers(1, 50, (1 << bits, 1 << bits)), 1)
    return TransitionCost.from_table(upper + upper.T)


def step(cost: TransitionCost, a: int, b: int) -> int:
    if cost.table is not None:
        return int(cost.table[a, b])
    return sum(int(weight) for bit, weight in enumerate(cost.bit_costs) if (a ^ b) >> bit & 1)


def mean_of_a_flip(cost: TransitionCost) -> float:
    words = range(1 << cost.bits)
    return sum(step(cost, a, b) for a in words for b in words) / sum((a ^ b).bit_count() for a in words for b in words)


def layer(outputs: int = 12, inputs: int = 16, bits: int = 8, seed: int = 0) -> Any:
    """A layer whose weights are its codes."""
    torch.manual_seed(seed)
    made = QuantizedLinear(torch.randn(outputs, inputs), torch.zeros(outputs), bits)
    with torch.no_grad():
        made.weight.copy_(made.integer_codes() * made.weight_scale[:, None])
    return made


def words_of(made: Any) -> Any:
    return made.integer_codes().numpy().astype(np.int64) % 2**made.bits


def lane_costs(words: Any, cost: TransitionCost) -> int:
    return sum(step(cost, int(a), int(b)) for lane in words.T for a, b in pairwise(lane))


def train(model: Any, steps: int = 14, **options: Any) -> Any:
    torch.set_num_threads(1)
    term = HammingLoss(model, steps=steps, every=3, reorder_every=6, share=1.0, strength=0.3, **options)
    inputs = torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(inputs).square().mean() + term).backward()
        optimizer.step()
    return term


def network() -> Any:
    return nn.Sequential(layer(24, 16), nn.ReLU(), layer(10, 24, seed=1))


@pytest.mark.parametrize("method", METHODS)
def test_flips_as_a_cost_change_nothing(method: str) -> None:
    plain, costed = network(), network()
    terms = train(plain, method=method), train(costed, method=method, cost=TransitionCost.flips(8))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), costed.parameters(), strict=True))
    assert terms[0]().item() == terms[1]().item()
    for a, b in zip(*(term.streams for term in terms), strict=True):
        assert [order.tolist() for order in a.orders] == [order.tolist() for order in b.orders]


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_a_cost_changes_nothing(method: str) -> None:
    one, other = network(), network()
    train(one, method=method, cost=TransitionCost.per_bit(WEIGHTS))
    train(other, method=method, cost=TransitionCost.per_bit([64 * weight for weight in WEIGHTS]))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cost", [TransitionCost.per_bit(WEIGHTS[:4]), table(4)], ids=["bits", "table"])
def test_the_value_is_the_mean_cost_of_whole_codes(method: str, cost: TransitionCost) -> None:
    made = layer(bits=4)
    term = HammingLoss(nn.Sequential(made), method=method, cost=cost, ones=0.0, strength=1e-6, ramp=0.0, share=1.0)
    words = words_of(made)[term.streams[0].orders[0]]
    expected = lane_costs(words, cost) / mean_of_a_flip(cost) / ((len(words) - 1) * 16 * 4)
    assert term().item() == pytest.approx(expected, rel=1e-5)
    assert term.statistics()["flips"] == lane_costs(words, TransitionCost.flips(4))


@pytest.mark.parametrize("cost", [TransitionCost.per_bit(WEIGHTS[:4]), table(4)], ids=["bits", "table"])
def test_orders_are_the_cheapest_by_brute_force(cost: TransitionCost) -> None:
    made = layer(outputs=6, inputs=2, bits=4)
    words = words_of(made)
    best = min(lane_costs(words[list(order)], cost) for order in permutations(range(6)))
    (stream,) = HammingLoss(nn.Sequential(made), method="bilinear", cost=cost).streams
    assert lane_costs(words[stream.orders[0]], cost) == best
    (plain,) = HammingLoss(nn.Sequential(made), method="bilinear").streams
    assert lane_costs(words[plain.orders[0]], cost) > best


@pytest.mark.parametrize("cost", [TransitionCost.per_bit(WEIGHTS), table(8)], ids=["bits", "table"])
def test_assigned_codes_are_cheaper_than_those_assigned_for_flips(cost: TransitionCost) -> None:
    costed, plain = layer(), layer()
    for made, chosen in ((costed, cost), (plain, None)):
        HammingLoss(nn.Sequential(made), method="assignment", cost=chosen, ones=0.0).advance(0.8)
    (stream,) = HammingLoss(nn.Sequential(layer()), method="bilinear", cost=cost).streams
    before = lane_costs(words_of(layer())[stream.orders[0]], cost)
    moved = [lane_costs(words_of(made)[stream.orders[0]], cost) for made in (costed, plain)]
    assert moved[0] < moved[1]
    assert moved[0] < 0.9 * before


@pytest.mark.parametrize("method", ["bilinear", "smoothed"])
@pytest.mark.parametrize("cost", [TransitionCost.per_bit(WEIGHTS[:5]), table(5)], ids=["bits", "table"])
def test_gradients_are_those_of_finite_differences(method: str, cost: TransitionCost) -> None:
    made = layer(outputs=7, inputs=3, bits=5)
    term = HammingLoss(nn.Sequential(made), method=method, cost=cost, share=1.0)
    term.advance(0.3)
    scale = made.weight_scale[:, None]
    with torch.no_grad():  # well within a cell, in which the value is linear in each code
        made.weight.copy_((made.integer_codes().clamp(-14, 13) + 0.5) * scale)
    term().backward()
    gradient = (made.weight.grad * scale).numpy()
    for place in ((0, 0), (3, 1), (6, 2), (2, 2), (5, 0)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                made.weight[place] += sign * 0.25 * scale[place[0], 0]
                values.append(term().item())
                made.weight[place] -= sign * 0.25 * scale[place[0], 0]
        assert gradient[place] == pytest.approx((values[0] - values[1]) / 0.5, rel=2e-3, abs=2e-6)
    assert np.abs(gradient).max() > 1e-3


def test_costs_of_bits_are_an_option_and_the_same_cost_made_anew_is_the_same_term() -> None:
    model = nn.Sequential(layer())
    term = HammingLoss(model, cost=TransitionCost.per_bit(WEIGHTS))
    assert HammingLoss(model, cost=TransitionCost.per_bit(WEIGHTS)) is term
    assert HammingLoss(model, cost=TransitionCost.per_bit(WEIGHTS[::-1])) is not term
    assert HammingLoss(model) is not term
    by_option = HammingLoss(nn.Sequential(layer()), bit_costs=WEIGHTS)
    assert by_option().item() == HammingLoss(nn.Sequential(layer()), cost=TransitionCost.per_bit(WEIGHTS))().item()
    assert HammingOptions(bit_costs=WEIGHTS).cost == TransitionCost.per_bit(WEIGHTS)
    assert HammingOptions().cost is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost": TransitionCost.flips(4)}, r"layer 0 \(12, 16\): expected a cost of 8 bits, .* got one of 4"),
        ({"cost": TransitionCost.per_bit([0] * 8)}, r"layer 0 \(12, 16\): expected a cost of transitions, got 0"),
        ({"bit_costs": (0,) * 8}, "bit_costs: .*expected one that is not 0"),
        ({"bit_costs": ()}, "bit_costs: .*expected 1 to 16 integers"),
        ({"bit_costs": (1, -1)}, "bit_costs: .*expected integers from 0 to 32768"),
        ({"bit_costs": (0.5,)}, "bit_costs"),
        ({"bit_costs": (1,) * 8, "bit_weights": (1.0,) * 8}, "expected either bit_costs or bit_weights"),
        ({"bit_costs": (1,) * 8, "cost": TransitionCost.flips(8)}, "expected one of cost, transition_costs"),
        ({"transition_costs": np.ones((255, 255)), "cost": TransitionCost.flips(8)}, "expected one of cost"),
        ({"transition_costs": np.ones((255, 255)), "bit_weights": (1.0,) * 8}, "expected one of cost"),
    ],
)
def test_costs_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        HammingLoss(nn.Sequential(layer()), **options)
    assert "\n" not in str(caught.value)
