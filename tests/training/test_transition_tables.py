from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from fewflips.errors import InputError  # noqa: E402
from fewflips.formats.number_formats import NumberFormat, encode  # noqa: E402
from fewflips.streams.flips import bit_position_flips, stream_flips  # noqa: E402
from fewflips.training.hamming.transition_tables import flip_table, smoothed, transition_cost  # noqa: E402

FORMATS = (NumberFormat.TWOS_COMPLEMENT, NumberFormat.SIGN_MAGNITUDE)


def words_of(bits: int, number_format: NumberFormat) -> NDArray[np.unsignedinteger]:
    """Words of the codes -peak..peak."""
    peak = 2 ** (bits - 1) - 1
    return encode(np.arange(-peak, peak + 1), number_format, bits)


def plain_table(bits: int, number_format: NumberFormat = NumberFormat.TWOS_COMPLEMENT) -> NDArray[np.float64]:
    return flip_table(words_of(bits, number_format), np.ones(bits, dtype=np.float32))


@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("bits", range(2, 9))
def test_whole_codes_cost_their_flips(bits: int, number_format: NumberFormat) -> None:
    peak = 2 ** (bits - 1) - 1
    codes = np.random.default_rng(bits).integers(-peak, peak + 1, (40, 7))
    table = torch.from_numpy(plain_table(bits, number_format)).float()
    expected = stream_flips(encode(codes, number_format, bits))
    assert transition_cost(torch.from_numpy(codes).float(), table, -peak).item() == expected


@pytest.mark.parametrize("number_format", FORMATS)
def test_bits_cost_their_own_weights_and_words_their_ones(number_format: NumberFormat) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (30, 5))
    weights = np.array([1, 2, 0, 0.5, 1, 4, 0.25, 3], dtype=np.float32)
    words = encode(codes, number_format, 8)
    table = torch.from_numpy(flip_table(words_of(8, number_format), weights, word_cost=0.5)).float()
    ones = np.unpackbits(words, axis=None).reshape(30, -1).sum(axis=1)
    halves = ones[0] / 2 + ones[1:-1].sum() + ones[-1] / 2
    expected = float(bit_position_flips(words, 8) @ weights + 0.5 * halves)
    assert transition_cost(torch.from_numpy(codes).float(), table, -127).item() == pytest.approx(expected, rel=1e-6)


def test_any_table_of_energies_is_read_from_row_to_column() -> None:
    generator = np.random.default_rng(3)
    energies = generator.uniform(0, 5, (15, 15))
    codes = generator.integers(-7, 8, (20, 4))
    expected = energies[codes[:-1] + 7, codes[1:] + 7].sum()
    value = transition_cost(torch.from_numpy(codes).double(), torch.from_numpy(energies), -7).item()
    assert value == pytest.approx(expected, rel=1e-12)


def test_between_codes_the_cost_is_bilinear() -> None:
    table = torch.from_numpy(plain_table(4))
    for a, b in ((-0.25, 0.75), (3.5, -6.125), (6.75, 6.75)):
        i, j = int(np.floor(a)), int(np.floor(b))
        u, v = a - i, b - j
        corners = table[i + 7 : i + 9, j + 7 : j + 9].numpy()
        expected = np.array([1 - u, u]) @ corners @ np.array([1 - v, v])
        value = transition_cost(torch.tensor([[a], [b]], dtype=torch.float64), table, -7).item()
        assert value == pytest.approx(expected, rel=1e-12)


def test_codes_beyond_the_range_count_as_its_ends() -> None:
    table = torch.from_numpy(plain_table(4)).float()
    outside = torch.tensor([[-20.0], [9.0]], requires_grad=True)
    inside = torch.tensor([[-7.0], [7.0]])
    value = transition_cost(outside, table, -7)
    assert value.item() == transition_cost(inside, table, -7).item()
    value.backward()
    assert outside.grad.abs().max().item() == 0.0


@pytest.mark.parametrize("width", [0.0, 1.5])
def test_gradients_are_those_of_finite_differences(width: float) -> None:
    table = torch.from_numpy(smoothed(plain_table(5), width))
    generator = torch.Generator().manual_seed(1)
    whole = torch.randint(-14, 14, (6, 3), generator=generator).double()
    latent = whole + 0.2 + 0.6 * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    latent.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda codes: transition_cost(codes, table, -15), (latent,), eps=1e-5)
    transition_cost(latent, table, -15).backward()
    assert (latent.grad != 0).float().mean() > 0.5


def test_a_width_of_nothing_leaves_the_table() -> None:
    table = plain_table(8)
    assert np.array_equal(smoothed(table, 0.0), table)


def test_the_smoothed_table_comes_near_the_exact_one_as_the_width_falls() -> None:
    table = plain_table(8)
    errors = [np.abs(smoothed(table, width) - table).max() for width in (8.0, 2.0, 0.5, 0.3, 0.2, 0.1)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.0
    assert errors[-1] < 1e-9


def test_smoothing_averages_both_codes_by_a_gaussian_cut_at_the_ends() -> None:
    table = np.random.default_rng(0).uniform(0, 8, (15, 15))
    width = 1.7

    def weights(centre: int) -> NDArray[np.float64]:
        falling = np.array([np.exp(-((step - centre) ** 2) / (2 * width**2)) for step in range(15)])
        return falling / falling.sum()

    for i, j in ((0, 0), (7, 3), (14, 6)):
        expected = sum(weights(i)[a] * weights(j)[b] * table[a, b] for a in range(15) for b in range(15))
        assert smoothed(table, width)[i, j] == pytest.approx(expected, rel=1e-12)
    assert smoothed(np.full((15, 15), 3.0), width) == pytest.approx(3.0)


def test_smoothing_slopes_where_the_exact_table_only_wobbles() -> None:
    """From -1 to 0 all bits change in two's complement: smoothed, costs rise from there on both sides."""
    table = smoothed(plain_table(8), 12.0)
    towards = table[127 + 40, 127 - 40 : 127 + 41]  # from code 40 to -40..40
    assert np.all(np.diff(towards[10:-10]) < 0)


@pytest.mark.parametrize("shape", [(1, 4), (5,), (2, 3, 4)])
def test_too_few_codes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"shape \(T, L\) with T >= 2"):
        transition_cost(torch.zeros(shape), torch.zeros(3, 3), -1)


@pytest.mark.parametrize("shape", [(3, 4), (9,), (1, 1)])
def test_tables_that_are_not_square_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="square table"):
        transition_cost(torch.zeros(3, 2), torch.zeros(shape), -1)
