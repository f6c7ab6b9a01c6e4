from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.errors import AcceleratorError, InputError  # noqa: E402
from fewflips.machine import Accelerator, load_accelerator  # noqa: E402
from fewflips.machine.buffers import Tiling  # noqa: E402
from fewflips.ordering import order_segments  # noqa: E402
from fewflips.training import HammingLoss  # noqa: E402
from fewflips.training.quantization.quantized_layers import QuantizedLinear  # noqa: E402

STEPS = 40
METHODS = ("assignment", "envelope", "smoothed", "bilinear")
OPTIONS: dict[str, Any] = {"steps": STEPS, "every": 4, "reorder_every": 12, "share": 1.0}
PRICES = {"assignment": 1.0, "envelope": 1.0, "smoothed": 3.0, "bilinear": 1.0}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(
        QuantizedLinear(torch.randn(48, 24) / 5, torch.zeros(48)),
        nn.ReLU(),
        QuantizedLinear(torch.randn(20, 48) / 7, torch.zeros(20), 6),
        nn.ReLU(),
        QuantizedLinear(torch.randn(4, 20) / 4, torch.zeros(4), 4),
    )


def task() -> Any:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(64, 24, generator=generator)
    labels = (inputs[:, :4] + 0.1 * torch.randn(64, 4, generator=generator)).argmax(1)
    return lambda model: nn.functional.cross_entropy(model(inputs), labels)


def sgd(model: Any) -> Any:
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def train(model: Any, term: Any = None, lam: Any = 1.0, steps: int = STEPS, optimizer: Any = None) -> float:
    """Mean task loss of the last five steps."""
    loss_of, optimizer, losses = task(), optimizer or sgd(model), []
    for _ in range(steps):
        optimizer.zero_grad()
        task_loss = loss_of(model)
        loss = task_loss if term is None else task_loss + lam * term
        loss.backward()
        optimizer.step()
        losses.append(task_loss.item())
    return float(np.mean(losses[-5:]))


def words_of(layer: Any) -> Any:
    """Two's complement words of a layer's codes, by plain arithmetic."""
    codes = layer.integer_codes().reshape(len(layer.weight), -1).numpy().astype(np.int64)
    return (codes % 2**layer.bits).astype(np.uint8)


def layers_of(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, QuantizedLinear)]


def nhd_in(words: Any, bits: int, orders: list[Any], lanes: int = 16) -> float:
    """Bits that differ between consecutive words, over all lanes, as a share of all bits."""
    flips = 0
    for segment, order in enumerate(orders):
        for lane in range(segment * lanes, min((segment + 1) * lanes, words.shape[1])):
            sent = [int(word) for word in words[order, lane]]
            flips += sum((a ^ b).bit_count() for a, b in pairwise(sent))
    return flips / ((words.shape[0] - 1) * words.shape[1] * bits)


def mean_nhd(model: Any, orders: list[list[Any]]) -> float:
    layers = zip(layers_of(model), orders, strict=True)
    return float(np.mean([nhd_in(words_of(layer), layer.bits, layer_orders) for layer, layer_orders in layers]))


def ordered_nhd(model: Any) -> float:
    """Mean NHD of the layers when every segment is ordered with the library's usual effort."""
    orders = []
    for layer in layers_of(model):
        words = words_of(layer)
        segments = [np.ascontiguousarray(words[:, start : start + 16]) for start in range(0, words.shape[1], 16)]
        orders.append([result.order for result in order_segments(segments)])
    return mean_nhd(model, orders)


@pytest.mark.parametrize("method", METHODS)
def test_the_value_is_the_mean_nhd_of_whole_codes(method: str) -> None:
    model = network()
    with torch.no_grad():
        for layer in layers_of(model):
            layer.weight.copy_(layer.integer_codes() * layer.weight_scale[:, None])
    term = HammingLoss(model, "edge16", method=method, ones=0.0, strength=1e-6, ramp=0.0, share=1.0)
    value = term()
    assert value.shape == ()
    expected = mean_nhd(model, [stream.orders for stream in term.streams])
    assert 0.3 < expected < 0.5
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert term.statistics()["layer_nhd"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_tiles_of_outputs_are_passes_of_their_own(method: str) -> None:
    model = network()
    with torch.no_grad():
        for layer in layers_of(model):
            layer.weight.copy_(layer.integer_codes() * layer.weight_scale[:, None])
    array = Accelerator(name="tiled", lanes=5, columns=2, tiling=Tiling(outputs=9))
    term = HammingLoss(model, array, method=method, ones=0.0, strength=1e-6, ramp=0.0, share=1.0)
    value = term()
    expected = []
    for layer, stream in zip(layers_of(model), term.streams, strict=True):
        words, (outputs, reduction) = words_of(layer), layer.weight.shape
        starts = range(0, outputs, 9) if reduction > 5 else (0,)
        tiles = [words[start : start + 9] if reduction > 5 else words for start in starts]
        passes = -(-reduction // 5)
        orders = [stream.orders[index * passes : (index + 1) * passes] for index in range(len(tiles))]
        transitions = [(len(tile) - 1) * reduction for tile in tiles]
        flips = [
            nhd_in(tile, layer.bits, of_tile, lanes=5) * count if count else 0
            for tile, of_tile, count in zip(tiles, orders, transitions, strict=True)
        ]
        expected.append(sum(flips) / sum(transitions))
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert term.statistics()["layer_nhd"] == pytest.approx(np.mean(expected), rel=1e-9)
    before = [layer.integer_codes() for layer in layers_of(model)]
    term.advance(1.0)
    term.finish()  # at next to no strength: every code is set, to what it was
    assert all(torch.equal(layer.integer_codes(), codes) for layer, codes in zip(layers_of(model), before, strict=True))


def test_statistics_count_bits_of_all_layers() -> None:
    model = network()
    term = HammingLoss(model, "edge16", method="bilinear")
    flips = bits = ones = places = 0
    for layer, stream in zip(layers_of(model), term.streams, strict=True):
        words = words_of(layer)
        transitions = (words.shape[0] - 1) * words.shape[1] * layer.bits
        flips += round(nhd_in(words, layer.bits, stream.orders) * transitions)
        bits += transitions
        ones += sum(int(word).bit_count() for word in words.reshape(-1))
        places += words.size * layer.bits
    statistics = term.statistics()
    assert statistics["flips"] == flips
    assert statistics["nhd"] == pytest.approx(flips / bits)
    assert statistics["ones"] == pytest.approx(ones / places)


def test_a_table_of_costs_is_what_the_value_adds_up() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(QuantizedLinear(torch.randn(12, 16), torch.zeros(12), 3))
    energies = np.random.default_rng(0).uniform(0, 3, (7, 7))
    term = HammingLoss(model, method="bilinear", transition_costs=energies, ones=0.0, share=1.0)
    layer = model[0]
    with torch.no_grad():
        layer.weight.copy_(layer.integer_codes() * layer.weight_scale[:, None])
    codes = layer.integer_codes().numpy()[term.streams[0].orders[0]].astype(int) + 3
    assert term().item() == pytest.approx(energies[codes[:-1], codes[1:]].mean() / 3, rel=1e-5)


def test_weights_of_bits_are_counted() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(QuantizedLinear(torch.randn(12, 16), torch.zeros(12)))
    weights = (1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 5.0)
    term = HammingLoss(model, method="bilinear", bit_weights=weights, ones=0.0, share=1.0)
    layer = model[0]
    with torch.no_grad():
        layer.weight.copy_(layer.integer_codes() * layer.weight_scale[:, None])
    words = words_of(layer)[term.streams[0].orders[0]]
    differing = words[1:] ^ words[:-1]
    expected = sum(w * ((differing >> bit) & 1).mean() for bit, w in enumerate(weights)) / 8
    assert term().item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def control() -> tuple[float, float]:
    """Task loss and NHD of the same training without the term."""
    torch.set_num_threads(1)
    model = network()
    return train(model), ordered_nhd(model)


@pytest.mark.parametrize("method", METHODS)
def test_training_with_the_term_leads_to_fewer_flips(method: str, control: tuple[float, float]) -> None:
    model = network()
    before = ordered_nhd(model)
    term = HammingLoss(model, "edge16", method=method, strength=0.1, **OPTIONS)
    loss = train(model, term, PRICES[method])
    term.finish()
    after = ordered_nhd(model)
    assert after < 0.9 * before
    assert after < 0.9 * control[1]
    assert np.isfinite(loss)
    assert loss < 0.7 * np.log(4)  # it has learned, as the control has
    assert control[0] < 0.7 * np.log(4)


@pytest.mark.parametrize("lam", [2.0, torch.tensor(2.0)], ids=["float", "tensor"])
@pytest.mark.parametrize("method", METHODS)
def test_made_anew_in_every_step_it_goes_on_where_it_was(method: str, lam: Any) -> None:
    options = {**OPTIONS, "method": method, "strength": 0.1}
    kept = network()
    train(kept, HammingLoss(kept, "edge16", **options), 2.0)

    model = network()
    loss_of, optimizer = task(), sgd(model)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model) + lam * HammingLoss(model, "edge16", **options)
        loss.backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), kept.parameters(), strict=True))
    assert HammingLoss(model, "edge16", **options).state_dict()["step"] == STEPS


def test_it_stands_for_its_value_in_sums_and_products() -> None:
    model = network()
    term = HammingLoss(model, method="bilinear", share=1.0, ramp=0.0)
    value = term().item()
    two = torch.tensor(2.0)
    for result, expected in (
        (term * 2.0, 2 * value),
        (2.0 * term, 2 * value),
        (two * term, 2 * value),
        (term * two, 2 * value),
        (term + 1.0, 1 + value),
        (1.0 + term, 1 + value),
        (two + term, 2 + value),
        (sum([term]), value),
    ):
        assert isinstance(result, torch.Tensor)
        assert result.requires_grad
        assert result.item() == pytest.approx(expected, rel=1e-6)


def test_an_accelerator_loaded_anew_is_the_same_one() -> None:
    model = network()
    first = HammingLoss(model, load_accelerator("os16"))
    first()
    assert HammingLoss(model, load_accelerator("os16")).state_dict()["step"] == 1
    assert HammingLoss(model, load_accelerator("edge4")).state_dict()["step"] == 0


def test_two_models_share_nothing() -> None:
    first, second = network(), network(1)
    term = HammingLoss(first, "edge16")
    term()
    other = HammingLoss(second, "edge16")
    assert other.state_dict()["step"] == 0
    assert {id(stream) for stream in term.streams}.isdisjoint(id(stream) for stream in other.streams)


@pytest.mark.parametrize("root", ["network", "one layer"])
def test_a_model_that_is_gone_takes_its_term_along(root: str) -> None:
    model = network() if root == "network" else QuantizedLinear(torch.randn(8, 16), torch.zeros(8))
    term: Any = HammingLoss(model, "edge16", method="envelope")
    (term() * 1.0).backward()
    gone = [weakref.ref(model), weakref.ref(next(model.parameters())), weakref.ref(term.streams[0])]
    del model, term
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


def test_a_term_made_again_is_the_same_object() -> None:
    model = network()
    term = HammingLoss(model, seed=1)
    assert HammingLoss(model, seed=1) is term
    assert HammingLoss(model, seed=2) is not term
    assert copy.deepcopy(term) is not term
    term.finish()
    assert HammingLoss(model, seed=1) is not term


def test_collecting_garbage_between_steps_takes_nothing_from_a_term() -> None:
    model = network()
    ring: list[Any] = [HammingLoss(model, method="envelope")]
    ring.append(ring)  # garbage that only the collector finds, and the first maker of the term with it
    HammingLoss(model, method="envelope")()
    del ring
    gc.collect()
    (HammingLoss(model, method="envelope") * 1.0).backward()
    assert HammingLoss(model, method="envelope").state_dict()["step"] == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_model_has_a_term_of_its_own(copied: Any) -> None:
    model = network()
    HammingLoss(model)()
    twin = copied(model)
    term = HammingLoss(twin)
    assert term.state_dict()["step"] == 0
    assert term.streams[0].view.weight is twin[0].weight
    assert HammingLoss(model).state_dict()["step"] == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [10, 38])  # before and after codes and orders stay
def test_a_saved_training_continues_bit_for_bit(method: str, stop: int) -> None:
    options = {**OPTIONS, "method": method, "strength": 0.1}
    whole = network()
    train(whole, HammingLoss(whole, **options), 2.0)

    part = network()
    term, optimizer = HammingLoss(part, **options), sgd(part)
    train(part, term, 2.0, stop, optimizer)
    file = io.BytesIO()
    torch.save({"model": part.state_dict(), "optimizer": optimizer.state_dict(), "term": term.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed = network(7)
    resumed.load_state_dict(saved["model"])
    optimizer, term = sgd(resumed), HammingLoss(resumed, **options)
    optimizer.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["model"])
    term.load_state_dict(saved["term"])
    train(resumed, term, 2.0, STEPS - stop, optimizer)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_state_of_another_network_is_refused() -> None:
    state = HammingLoss(network()).state_dict()
    other = HammingLoss(nn.Sequential(nn.Linear(24, 48)), method="envelope")
    with pytest.raises(InputError, match="state of this network"):
        other.load_state_dict(state)


def test_finishing_writes_the_codes_that_the_network_computed_with() -> None:
    model = network()
    term = HammingLoss(model, method="assignment", strength=0.3, **OPTIONS)
    train(model, term, steps=8)  # the next step assigns codes
    term.advance(0.5)
    rounded = [layer.codes().round() for layer in layers_of(model)]
    wanted = [layer.integer_codes() for layer in layers_of(model)]
    assert any(not torch.equal(a, b.float()) for a, b in zip(rounded, wanted, strict=True))
    output = model(torch.ones(1, 24)).detach()
    term.finish()
    for layer, codes in zip(layers_of(model), wanted, strict=True):
        assert layer.code_shift is None
        assert torch.equal(layer.integer_codes(), codes)
        assert (layer.codes() - codes).abs().max() < 1e-4
    assert torch.equal(model(torch.ones(1, 24)), output)


@pytest.mark.parametrize("method", ["assignment", "envelope"])
def test_finishing_early_writes_newly_assigned_codes(method: str) -> None:
    model = network()
    term = HammingLoss(model, method=method, strength=0.3, **OPTIONS)
    train(model, term, steps=7)  # three steps after the last assignment
    before = ordered_nhd(model)
    term.finish()
    for layer, codes in zip(layers_of(model), term.state_dict()["assigned"], strict=True):
        assert torch.equal(layer.integer_codes().short(), codes)
        assert (layer.codes() - codes).abs().max() < 1e-4
    assert ordered_nhd(model) < before


def test_codes_follow_their_weights_between_assignments() -> None:
    """At a price of nothing a network computes as it does without the term, however its weights move meanwhile."""
    model = network()
    term = HammingLoss(model, method="assignment", strength=1e-9, **OPTIONS)
    term.advance(0.5)
    for step in range(1, 4):
        with torch.no_grad():
            for layer in layers_of(model):
                layer.weight.add_(0.3 * layer.weight_scale.view(-1, 1) * torch.randn_like(layer.weight))
        term.advance(0.5 + 0.01 * step)
        for layer in layers_of(model):
            kept = layer.code_shift == 0  # all but latent codes beyond the grid
            assert kept.float().mean() > 0.9
            rounded = layer.codes().round().clamp(-layer.peak, layer.peak)
            assert torch.equal(layer.integer_codes()[kept].float(), rounded[kept])


def moved_shares(balance: float, loudness: float) -> tuple[float, float]:
    """Shares of the codes that assignment moves in two equal layers, of which the second counts little in the loss."""
    weights = torch.randn(48, 16, generator=torch.Generator().manual_seed(1)) / 4
    loud, quiet = (QuantizedLinear(weights.clone(), torch.zeros(48)) for _ in range(2))
    term = HammingLoss(nn.ModuleList([loud, quiet]), method="assignment", strength=0.3, balance=balance, **OPTIONS)
    inputs = torch.randn(32, 16, generator=torch.Generator().manual_seed(2))
    for step in range(9):
        term.advance(0.6 + 0.02 * step)
        (loud(inputs) + loudness * quiet(inputs)).square().mean().backward()
        loud.weight.grad = quiet.weight.grad = None
    first, second = ((layer.code_shift != 0).float().mean().item() for layer in (loud, quiet))
    return first, second


def test_layers_that_the_loss_minds_more_are_spared() -> None:
    alike = moved_shares(balance=0.0, loudness=1e-3)
    assert alike[0] == pytest.approx(alike[1], abs=0.02)
    loud, quiet = moved_shares(balance=1.0, loudness=1e-3)
    assert loud < 0.2 < alike[0] < quiet


def test_frozen_codes_stay_and_biases_train_on_until_the_end() -> None:
    model = network()
    term = HammingLoss(model, method="assignment", strength=0.3, **OPTIONS)
    term.advance(0.95)
    codes = [layer.integer_codes() for layer in layers_of(model)]
    biases = [layer.bias.detach().clone() for layer in layers_of(model)]
    train(model, term, steps=5)
    assert not any(layer.weight.requires_grad for layer in layers_of(model))
    assert all(torch.equal(layer.integer_codes(), c) for layer, c in zip(layers_of(model), codes, strict=True))
    assert not any(torch.equal(layer.bias, b) for layer, b in zip(layers_of(model), biases, strict=True))
    term.finish()
    assert all(layer.weight.requires_grad for layer in layers_of(model))
    assert all(torch.equal(layer.integer_codes(), c) for layer, c in zip(layers_of(model), codes, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_trained_are_left_alone(method: str) -> None:
    model = network()
    model[2].weight.requires_grad_(False)
    before = model[2].weight.detach().clone()
    term = HammingLoss(model, method=method, **OPTIONS)
    train(model, term, PRICES[method])
    term.finish()
    assert torch.equal(model[2].weight, before)
    assert not model[2].weight.requires_grad
    assert [stream.view.name for stream in term.streams] == ["0", "4"]


def test_a_strength_of_nothing_draws_weights_nowhere() -> None:
    model, control = network(), network()
    train(model, HammingLoss(model, method="envelope", strength=0.0, **OPTIONS))
    train(control)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), control.parameters(), strict=True))


def test_an_envelope_ends_at_codes_that_stay_once_frozen() -> None:
    model = network()
    term = HammingLoss(model, method="envelope", strength=0.3, **OPTIONS)
    term.advance(0.95)
    drawn_to = [codes.clone() for codes in term.state_dict()["assigned"]]
    for _ in range(5):
        term.advance(0.97)
        train(model, term, steps=1)
    assert all(layer.weight.requires_grad for layer in layers_of(model))
    term.finish()
    for layer, codes in zip(layers_of(model), drawn_to, strict=True):
        assert torch.equal(layer.integer_codes().short(), codes)


def test_after_the_end_a_term_of_the_same_model_begins_anew() -> None:
    model = network()
    term = HammingLoss(model, method="assignment", **OPTIONS)
    train(model, term)
    term.finish()
    again = HammingLoss(model, method="assignment", **OPTIONS)
    assert again.state_dict()["step"] == 0
    assert again.state_dict()["frozen"] is False


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "magic"}, "method"),
        ({"strength": -1.0}, "strength"),
        ({"every": 0}, "every"),
        ({"share": 0.0}, "share"),
        ({"freeze": 1.5}, "freeze"),
        ({"bit_weights": (1.0,)}, "bit_weights"),
        ({"bit_weights": (1.0,) * 7 + (float("nan"),)}, "bit_weights"),
        ({"tempo": 3}, "tempo"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"bits": 9}, "bits"),
        ({"include": ("nowhere*",)}, "nowhere"),
        ({"transition_costs": np.zeros((3, 3))}, r"shape \(255, 255\)"),
        ({"transition_costs": np.full((255, 255), -1.0)}, "0 or more"),
    ],
)
def test_a_wrong_option_gives_one_line_that_names_it(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        HammingLoss(network(), **options)
    assert "\n" not in str(caught.value)


def test_a_machine_whose_weights_stand_still_is_refused() -> None:
    with pytest.raises(AcceleratorError, match="tpu16"):
        HammingLoss(network(), "tpu16")


def test_assignment_needs_layers_of_fewflips() -> None:
    with pytest.raises(InputError, match=r"layer 0 .*'assignment'.*Linear"):
        HammingLoss(nn.Sequential(nn.Linear(8, 8)), method="assignment")
    assert HammingLoss(nn.Sequential(nn.Linear(8, 8))).method == "envelope"
    assert HammingLoss(network()).method == "assignment"


@pytest.mark.parametrize("progress", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_progress_out_of_range_is_refused(progress: float) -> None:
    with pytest.raises(InputError, match="progress from 0 to 1"):
        HammingLoss(network()).advance(progress)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite_are_reported(method: str, bad: float) -> None:
    model = network()
    term = HammingLoss(model, method=method, every=1, share=1.0)
    term.advance(0.0)
    with torch.no_grad():
        model[0].weight[3, 2] = bad
    if method in ("assignment", "envelope"):
        with pytest.raises(InputError, match="finite weights"):
            term.advance(0.5)
    elif np.isnan(bad):
        term.advance(0.5)
        assert np.isnan(term().item())
    with pytest.raises(InputError, match="layer 0"):
        HammingLoss(model, method=method, every=2)
