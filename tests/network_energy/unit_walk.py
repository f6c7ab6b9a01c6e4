"""What each arithmetic unit sees, by plain loops over cycles; nothing of the package's sequences is used."""

from __future__ import annotations

from collections import defaultdict


def _word(values, lanes):
    return tuple(int(value) for value in values) + (0,) * (lanes - len(values))


def _to_and_fro(items, back):
    return list(items)[::-1] if back else list(items)


def _sum(m, n, ks, block):
    return (m, n) if block is None else (m, n, ks[0] // block)


def activation_stationary(x, w, segments, lanes, columns, rows=1, turns=False, block=None):
    """x: (G, M, K), w: (N, K), unsigned; yields per column a list of (weights, activations, partial sum).

    `rows` of output pixels share a tile. Each `block` of k has sums of its own.
    """
    (groups, m_total, _), n_total = x.shape, len(w)
    per_group = n_total // groups
    seen, sums = defaultdict(list), defaultdict(int)
    for number, tile in enumerate(range(0, m_total, rows * columns)):
        for ks, order in _to_and_fro(segments, turns and number % 2):
            for row in range(tile, min(m_total, tile + rows * columns), columns):
                for n in _to_and_fro(order, turns and row // columns % 2):
                    for column, m in enumerate(range(row, min(m_total, row + columns))):
                        values = [x[n // per_group, m, k] for k in ks]
                        weights = [w[n, k] for k in ks]
                        seen[column].append((_word(weights, lanes), _word(values, lanes), sums[_sum(m, n, ks, block)]))
                        sums[_sum(m, n, ks, block)] += sum(
                            int(a) * int(b) for a, b in zip(weights, values, strict=True)
                        )
    return [seen[column] for column in sorted(seen)], sums


def weight_stationary(x, w, segments, lanes, columns, turns=False, block=None):
    (groups, m_total, _), n_total = x.shape, len(w)
    per_group = n_total // groups
    seen, sums = defaultdict(list), defaultdict(int)
    for ks, order in segments:
        for first in range(0, len(order), columns):
            for m in _to_and_fro(range(m_total), turns and first // columns % 2):
                for column, n in enumerate(order[first : first + columns]):
                    values = [x[n // per_group, m, k] for k in ks]
                    weights = [w[n, k] for k in ks]
                    seen[column].append((_word(weights, lanes), _word(values, lanes), sums[_sum(m, n, ks, block)]))
                    sums[_sum(m, n, ks, block)] += sum(int(a) * int(b) for a, b in zip(weights, values, strict=True))
    return [seen[column] for column in sorted(seen)], sums


def output_stationary(x, w, segments, lanes, columns, turns=False):
    """Yields per unit a list of (weight, activation, clear, accumulator after the product)."""
    (groups, m_total, _), n_total = x.shape, len(w)
    per_group = n_total // groups
    seen, sums = defaultdict(list), {}
    for tile in range(0, m_total, lanes):
        back = turns and tile // lanes % 2
        for channels, order in _to_and_fro(segments, back):
            for row, m in enumerate(range(tile, min(m_total, tile + lanes))):
                for column, n in enumerate(channels):
                    total = 0
                    for step, k in enumerate(_to_and_fro(order, back)):
                        total += int(x[n // per_group, m, k]) * int(w[n, k])
                        unit = (row, column)
                        seen[unit].append((int(w[n, k]), int(x[n // per_group, m, k]), int(step == 0), total))
                    sums[m, n] = total
    return [seen[unit] for unit in sorted(seen)], sums
