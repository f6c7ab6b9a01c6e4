"""The smallest weights become zero and stay so, in training and in what is exported."""

from __future__ import annotations

import pytest
import torch

from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig
from fewflips.training.networks import build_network
from fewflips.training.quantization.pruning import hold_zeros, prune
from fewflips.training.quantization.quantize import calibrate, quantize
from fewflips.training.quantization.quantized_layers import quantized_weights


def small_network(layout: torch.memory_format = torch.contiguous_format) -> torch.nn.Module:
    torch.manual_seed(0)
    network = quantize(build_network("mobilenet_v2", width=0.25, classes=4, image_size=32), weight_bits=5)
    network = network.to(memory_format=layout)
    calibrate(network, [torch.randn(4, 3, 32, 32)])
    return network


def zeros_by_layer(network: torch.nn.Module) -> dict[str, int]:
    return {name: int((layer.weight == 0).sum()) for name, layer in quantized_weights(network).items()}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_smallest_of_each_dense_layer_become_zero(layout) -> None:
    network = small_network(layout)
    before = {name: layer.weight.detach().clone() for name, layer in quantized_weights(network).items()}
    prune(network, 0.4)
    names = list(before)
    for name, layer in quantized_weights(network).items():
        whole = name in (names[0], names[-1]) or "depthwise" in name
        old, new = before[name].flatten(), layer.weight.detach().flatten()
        pruned = new == 0
        assert int(pruned.sum()) == (0 if whole else int(0.4 * len(old)))
        assert torch.equal(old[~pruned], new[~pruned])
        if pruned.any():
            assert old[pruned].abs().max() <= old[~pruned].abs().min()


def test_zeros_stay_zero_while_all_else_trains() -> None:
    network = small_network()
    prune(network, 0.5)
    zeros = zeros_by_layer(network)
    hold_zeros(network)
    before = {name: layer.weight.detach().clone() for name, layer in quantized_weights(network).items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    assert zeros_by_layer(network) == zeros
    for name, layer in quantized_weights(network).items():
        assert not torch.equal(layer.weight.detach(), before[name])
        held = before[name] == 0
        assert (layer.integer_codes()[held] == 0).all()


def test_a_share_of_one_leaves_nothing() -> None:
    with pytest.raises(InputError, match="pruning: expected a share from 0 to less than 1, got 1"):
        prune(small_network(), 1.0)


def test_not_beside_the_hd_term() -> None:
    content = {
        "dataset": {"name": "cifar10", "path": "x.npz"},
        "quantized_stage": {"epochs": 1, "pruning": 0.5},
        "hamming": {},
    }
    with pytest.raises(ValueError, match="expected no pruning beside the HD term"):
        TrainingConfig.model_validate(content)
