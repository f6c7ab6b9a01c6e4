"""Rows of layers' inputs: times the weights, they give what PyTorch's layer gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.training.switching.activation_sources import (  # noqa: E402
    along_channels,
    along_pixels,
    along_reduction,
)
from fewflips.training.switching.observed_inputs import observed_input  # noqa: E402
from fewflips.training.weight_views import weight_views  # noqa: E402

LAYERS = {
    "padded": lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False),
    "strided": lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(0, 1), bias=False),
    "dilated": lambda: nn.Conv2d(3, 4, 3, dilation=2, padding="same", bias=False),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6, padding=1, bias=False),
    "grouped": lambda: nn.Conv2d(4, 6, 2, groups=2, bias=False),
    "one axis": lambda: nn.Conv1d(3, 4, 3, padding=1, bias=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_rows_times_weights_are_the_layers_output(name: str) -> None:
    torch.manual_seed(1)
    module = LAYERS[name]()
    channels, spatial = module.in_channels, (7, 6)[: module.weight.ndim - 2]
    given = torch.randint(-100, 156, (2, channels, *spatial)).float()
    given.view(-1)[:2] = torch.tensor([-100.0, 155.0])  # steps of 1, so that codes are exact
    found = observed_input(weight_views(module)[0], given)
    expected = module(given).detach().flatten(2).numpy()
    assert (found.zero_point, found.pixels) == (100, expected.shape[2])
    weights = module.weight.detach().numpy().reshape(module.groups, -1, found.rows.shape[2])
    rows = found.rows.astype(np.float64) - found.zero_point
    product = np.einsum("gmk,gnk->gnm", rows, weights)
    product = product.reshape(expected.shape[1], 2, -1).swapaxes(0, 1)
    assert np.allclose(product, expected, rtol=1e-4, atol=1e-3)


def test_rows_of_a_linear_layer_are_its_inputs() -> None:
    given = torch.arange(256.0).reshape(2, 16, 8)
    found = observed_input(weight_views(nn.Linear(8, 3))[0], given)
    assert (found.zero_point, found.pixels) == (0, 16)
    assert np.array_equal(found.rows[0], given.reshape(-1, 8).numpy())


def test_streams_follow_the_machine() -> None:
    groups, pixels, reduction = 3, 5, 6
    codes = np.arange(groups * pixels * reduction, dtype=np.uint8).reshape(groups, pixels, reduction)
    places: Any = {int(code): place for place, code in np.ndenumerate(codes)}
    generator = np.random.default_rng(0)
    past = along_pixels(codes, 4)(20, 7, 4, generator)
    for window in past:
        lanes = window[:, window[0] > 0] if (window[:, -1] == 0).all() else window
        for before, after in zip(lanes[:-1].ravel(), lanes[1:].ravel(), strict=True):
            (g, m, k), (h, n, j) = places[int(before)], places[int(after)]
            assert (h, n, j) == (g, (m + 1) % pixels, k)
    for window in along_reduction(codes)(20, 7, 1, generator):
        steps = [(places[int(a)], places[int(b)]) for a, b in zip(window[:-1, 0], window[1:, 0], strict=True)]
        assert all((m * reduction + k + 1) % 30 == n * reduction + j and g == h for (g, m, k), (h, n, j) in steps)
    for window in along_channels(codes)(20, 7, 8, generator):
        assert (window[:, reduction:] == 0).all()
        steps = [(places[int(a)], places[int(b)]) for a, b in zip(window[:-1, 1], window[1:, 1], strict=True)]
        assert all((h, n, j) == ((g + 1) % groups, m, k) for (g, m, k), (h, n, j) in steps)
