"""Kernels of the search: what an order costs on each row of codes, better paths, and exchanges of two channels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.bound import Neighbours
from fewflips.ordering.construct import greedy_path
from fewflips.ordering.exact import LARGEST, dynamic_program
from fewflips.ordering.local_search import draw, new_tour, path_of, search
from fewflips.ordering.metric import FRACTION_BITS, INFINITE, distance, path_length
from fewflips.streams.flips import popcount

NEIGHBOURS = 6
"""Partners of a word in the local search."""


class Arrangement(NamedTuple):
    """A state of the search; kernels change it in place."""

    channel: NDArray[np.int64]  # (C,), at each position
    content: NDArray[np.int64]  # (total of J,), row of codes on each lane index
    path: NDArray[np.int64]  # through the words of each segment
    length: NDArray[np.int64]  # (S,), cost of each segment's stream, once
    table: NDArray[np.int64]  # cost of each row along the path of each segment
    price: NDArray[np.int64]  # (C, blocks), cost of a channel at a position of a block, in one inference


@compiled
def step_cost(steps: NDArray[np.int64], bits: int, a: int, b: int) -> Any:
    """Cost of the step between two codes."""
    if steps.size == 0:
        return np.int64(popcount(np.uint64(a ^ b)))
    if steps.size == 1 << bits:
        return steps[a ^ b]
    return steps[a << bits | b]


@compiled
def packed_words(problem: Any, content: NDArray[np.int64], segment: int) -> NDArray[np.uint64]:
    """Words of a segment as rows of bits, shape (T, W)."""
    bits = problem.bits[segment]
    lanes = problem.lane[problem.lane_start[segment] : problem.lane_start[segment + 1]]
    words = problem.word[problem.word_start[segment] : problem.word_start[segment + 1]]
    fit = 64 // bits
    rows = np.zeros((words.size, (lanes.size + fit - 1) // fit), np.uint64)
    for number in range(lanes.size):
        start = problem.row[content[lanes[number]]]
        shift = np.uint64(bits * (number % fit))
        column = number // fit
        for t in range(words.size):
            rows[t, column] |= np.uint64(problem.codes[start + words[t]]) << shift
    return rows


@compiled
def distances(problem: Any, content: NDArray[np.int64], segment: int, chosen: NDArray[np.int64]) -> NDArray[np.int32]:
    """Costs of the steps between some words of a segment, shape (chosen, chosen)."""
    bits = problem.bits[segment]
    apart = np.zeros((chosen.size, chosen.size), np.int32)
    for number in range(problem.lane_start[segment], problem.lane_start[segment + 1]):
        start = problem.row[content[problem.lane[number]]]
        for i in range(chosen.size):
            code = np.int64(problem.codes[start + problem.word[problem.word_start[segment] + chosen[i]]])
            for j in range(i):
                other = np.int64(problem.codes[start + problem.word[problem.word_start[segment] + chosen[j]]])
                apart[i, j] += step_cost(problem.steps, bits, code, other)
    for i in range(chosen.size):
        for j in range(i):
            apart[j, i] = apart[i, j]
    return apart


@compiled
def same_words(rows: NDArray[np.uint64]) -> Any:
    """Number of each row's equals, and the first row of each number: equal rows stay together on a path."""
    n, width = rows.shape
    mixed = np.zeros(n, np.uint64)
    for i in range(n):
        for w in range(width):
            mixed[i] = (mixed[i] ^ rows[i, w]) * np.uint64(0x9E3779B97F4A7C15)
            mixed[i] ^= mixed[i] >> np.uint64(29)
    order = np.argsort(mixed)
    number = np.empty(n, np.int64)
    first = np.empty(n, np.int64)
    count = 0
    for t in range(n):
        same = t > 0
        for w in range(width):
            same = same and rows[order[t], w] == rows[order[t - 1], w]
        if not same:
            first[count] = order[t]
            count += 1
        number[order[t]] = count - 1
    return number, first[:count].copy()


@compiled
def chain_length(words: int, chains: int, place: int) -> Any:
    """Length of the chain that begins at a place of a path: the first ones may be one word longer."""
    longest = (words + chains - 1) // chains
    longer = words % chains
    return longest if longer == 0 or place < longer * longest else longest - 1


@compiled
def row_cost(problem: Any, segment: int, along: NDArray[np.int64], row: int) -> Any:
    """Cost of a row of codes, taken at the words given, which are cut into the segment's chains."""
    bits, chains = problem.bits[segment], problem.chains[segment]
    start = problem.row[row]
    total = np.int64(0)
    begin = 0
    while begin < along.size:
        end = begin + chain_length(along.size, chains, begin)
        last = np.int64(problem.codes[start + along[begin]])
        for t in range(begin + 1, end):
            code = np.int64(problem.codes[start + along[t]])
            total += step_cost(problem.steps, bits, last, code)
            last = code
        begin = end
    return total


@compiled
def words_along(problem: Any, segment: int, path: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in a row of codes of the words along a path."""
    along = np.empty(path.size, np.int64)
    for t in range(path.size):
        along[t] = problem.word[problem.word_start[segment] + path[t]]
    return along


@compiled
def stream_cost(problem: Any, content: NDArray[np.int64], segment: int, path: NDArray[np.int64]) -> Any:
    """What a segment costs along a path, once."""
    along = words_along(problem, segment, path)
    total = np.int64(0)
    for number in range(problem.lane_start[segment], problem.lane_start[segment + 1]):
        total += row_cost(problem, segment, along, content[problem.lane[number]])
    return total


@compiled
def nearest(source: Any, k: int) -> Any:
    """The k nearest partners of each node; of the dummy, those that are far from all others."""
    n = source.shape[0]
    k = min(k, n - 1)
    node = np.zeros((n + 1, k), np.int32)
    cost = np.zeros((n + 1, k), np.int64)
    alone = np.empty(n, np.int64)
    for i in range(n):
        filled = 0
        for j in range(n):
            if j == i:
                continue
            away = np.int64(distance(source, i, j)) << FRACTION_BITS
            if filled == k:
                if away >= cost[i, k - 1]:
                    continue
                filled -= 1
            slot = filled
            while slot and cost[i, slot - 1] > away:
                cost[i, slot], node[i, slot] = cost[i, slot - 1], node[i, slot - 1]
                slot -= 1
            cost[i, slot], node[i, slot] = away, j
            filled += 1
        alone[i] = -cost[i, min(1, k - 1)]
    lonely = np.argsort(alone)
    for slot in range(k):
        node[n, slot] = lonely[slot]
    return Neighbours(node, cost)


@compiled
def better_path(source: Any, path: NDArray[np.int64], kicks: int, random: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A short path by local search from the one given, or from the greedy one if that is shorter."""
    n = source.shape[0]
    if n <= LARGEST:
        return dynamic_program(source)
    start = greedy_path(source)
    length = path_length(source, start)
    if path[0] >= 0:
        known = path_length(source, path)
        if known <= length:
            start, length = path, known
    tour = new_tour(start)
    near = nearest(source, NEIGHBOURS)
    level = np.zeros(n, np.int64)
    length, _ = search(source, level, near, tour, length, 0, 0, random)
    if kicks:
        search(source, level, near, tour, length, 0, kicks, random)
    return path_of(tour)


@compiled
def improved(
    problem: Any,
    content: NDArray[np.int64],
    segment: int,
    path: NDArray[np.int64],
    kicks: int,
    random: NDArray[np.uint64],
) -> Any:
    """A short path through the words of a segment, from the one given (-1 throughout: none), and its cost."""
    rows = packed_words(problem, content, segment)
    number, first = same_words(rows)
    coarse = np.full(first.size, -1, np.int64)
    if path[0] >= 0:
        seen = np.zeros(first.size, np.bool_)
        count = 0
        for t in range(path.size):
            if not seen[number[path[t]]]:
                seen[number[path[t]]] = True
                coarse[count] = number[path[t]]
                count += 1
    if problem.steps.size == 0:
        coarse = better_path(rows[first], coarse, kicks, random)
    else:
        coarse = better_path(distances(problem, content, segment, first), coarse, kicks, random)
    place = np.empty(first.size, np.int64)
    for t in range(first.size):
        place[coarse[t]] = t
    found = np.argsort(place[number], kind="mergesort")
    length = stream_cost(problem, content, segment, found)
    if path[0] >= 0:
        known = stream_cost(problem, content, segment, path)
        if known < length:
            return path.copy(), known
    return found, length


@compiled
def tabulate(problem: Any, path: NDArray[np.int64], table: NDArray[np.int64], segment: int) -> None:
    """What each row of codes costs along the path of a segment."""
    along = words_along(problem, segment, path[problem.word_start[segment] : problem.word_start[segment + 1]])
    for number in range(problem.use_rows[segment]):
        row = problem.use_row[segment] + number
        table[problem.table_start[segment] + number] = row_cost(problem, segment, along, row)


@compiled
def set_prices(problem: Any, state: Any, changed: NDArray[np.bool_]) -> None:
    """Cost of every channel in the blocks that have lanes in a segment whose path has changed."""
    channels = problem.block.size
    for block in range(problem.segments_start.size - 1):
        stale = False
        for place in range(problem.segments_start[block], problem.segments_start[block + 1]):
            stale = stale or changed[problem.segments[place]]
        if not stale:
            continue
        for channel in range(channels):
            state.price[channel, block] = 0
        for place in range(problem.place_start[block], problem.place_start[block + 1]):
            segment = problem.place_segment[place]
            first = problem.table_start[segment] - problem.use_row[segment]
            for channel in range(channels):
                row = problem.channel_row[problem.place_lane[place], channel]
                state.price[channel, block] += problem.repeats[segment] * state.table[first + row]


@compiled
def put(problem: Any, state: Any, position: int, channel: int) -> None:
    """Lay a channel's rows on the lanes of a position."""
    state.channel[position] = channel
    for number in range(problem.channel_row.shape[0]):
        state.content[problem.channel_row[number, position]] = problem.channel_row[number, channel]


@compiled
def settle(problem: Any, state: Any, changed: NDArray[np.bool_], kicks: int, random: NDArray[np.uint64]) -> Any:
    """Better paths for the segments marked, with their tables and prices; returns what they cost in one inference."""
    total = np.int64(0)
    for segment in range(problem.repeats.size):
        if changed[segment]:
            first, last = problem.word_start[segment], problem.word_start[segment + 1]
            path, length = improved(problem, state.content, segment, state.path[first:last], kicks, random)
            for t in range(path.size):
                state.path[first + t] = path[t]
            state.length[segment] = length
            tabulate(problem, state.path, state.table, segment)
            total += problem.repeats[segment] * length
    set_prices(problem, state, changed)
    return total


@compiled
def partner(problem: Any, state: Any, position: int, tried: int, random: NDArray[np.uint64]) -> int:
    """Of some positions of other blocks, the one whose exchange costs least along the present paths; -1 if none."""
    channels = problem.block.size
    here = problem.block[position]
    mine = state.channel[position]
    best, found = INFINITE, -1
    for _ in range(tried):
        other = draw(random, channels)
        there = problem.block[other]
        if there == here:
            continue
        yours = state.channel[other]
        change = (
            state.price[mine, there] - state.price[mine, here] + state.price[yours, here] - state.price[yours, there]
        )
        if change < best:
            best, found = change, other
    return found


@compiled
def exchange(
    problem: Any,
    state: Any,
    trials: int,
    tried: int,
    heat: float,
    cooling: float,
    random: NDArray[np.uint64],
) -> Any:
    """Exchange channels of two blocks, order their segments again, and keep what costs less, or a little more.

    Parameters
    ----------
    problem : Problem
        Which rows lie where.
    state : Arrangement
        Changed in place.
    trials : int
        Exchanges to try.
    tried : int
        Partners to price for each.
    heat : float
        Increase of the cost that is taken with a probability of 1 / e at first.
    cooling : float
        What it is multiplied by after each trial.
    random : ndarray of uint64, shape (1,)
        State of the random numbers; advanced.

    Returns
    -------
    int
        Change of the cost of one inference.
    """
    channels = problem.block.size
    affected = np.zeros(problem.repeats.size, np.bool_)
    places = np.empty(problem.repeats.size, np.int64)
    paths = np.empty(problem.word.size, np.int64)
    lengths = np.empty(problem.repeats.size, np.int64)
    gained = np.int64(0)
    for _ in range(trials):
        position = draw(random, channels)
        other = partner(problem, state, position, tried, random)
        heat *= cooling
        if other < 0:
            continue
        mine, yours = state.channel[position], state.channel[other]
        put(problem, state, position, yours)
        put(problem, state, other, mine)
        count = 0
        for block in (problem.block[position], problem.block[other]):
            for place in range(problem.segments_start[block], problem.segments_start[block + 1]):
                segment = problem.segments[place]
                if not affected[segment]:
                    affected[segment] = True
                    places[count] = segment
                    count += 1
        change = np.int64(0)
        for number in range(count):
            segment = places[number]
            first, last = problem.word_start[segment], problem.word_start[segment + 1]
            path, length = improved(problem, state.content, segment, state.path[first:last], 0, random)
            for t in range(path.size):
                paths[first + t] = path[t]
            lengths[segment] = length
            change += problem.repeats[segment] * (length - state.length[segment])
        if change <= 0 or (heat > 0 and draw(random, 1 << 30) < (1 << 30) * np.exp(-change / heat)):
            gained += change
            for number in range(count):
                segment = places[number]
                for t in range(problem.word_start[segment], problem.word_start[segment + 1]):
                    state.path[t] = paths[t]
                state.length[segment] = lengths[segment]
                tabulate(problem, state.path, state.table, segment)
            set_prices(problem, state, affected)
        else:
            put(problem, state, position, mine)
            put(problem, state, other, yours)
        for number in range(count):
            affected[places[number]] = False
    return gained
