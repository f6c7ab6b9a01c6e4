"""Local search on paths: sequential 5-opt moves over neighbour lists, and double-bridge kicks.

Lin and Kernighan, *An effective heuristic algorithm for the traveling-salesman problem* (Oper. Res. 21,
1973), with the moves and neighbours of Helsgaun (EJOR 126, 2000); iterated as in Applegate, Cook, Rohe,
*Chained Lin-Kernighan for large traveling salesman problems* (INFORMS J. Comput. 15, 2003): a kick
exchanges the segments between four nodes that a short random walk reached, the search repairs only the
neighbourhood of those nodes, and a longer result is undone.

A path of N nodes is a tour of N + 1, node N being a dummy at distance 0 from all. The tour is an array. Each
move rewrites one stretch of it (all but the longest of the segments that the move cuts), and the previous
contents are kept in a journal. The search runs on costs under potentials, which leave the difference between
any two tours unchanged and sharpen the gain criterion.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.kernels.compiled import compiled
from fewflips.ordering.metric import FRACTION_BITS, UNIT, distance, edge_cost

BREADTH = (5, 5, 3, 2, 1)  # neighbours tried at each depth of a move
DEPTH = len(BREADTH)
WALK_STEPS = 3  # of the random walk from a kick's first node to each other one
WALK_BREADTH = 5  # neighbours among which a step chooses
WALKS = 50  # at most, to find four distinct nodes
JOURNAL_TOURS = 64  # length of the journal, in tours


class Tour(NamedTuple):
    """A cyclic tour of n = N + 1 nodes that can undo its changes."""

    node: NDArray[np.int32]  # (n,)
    place: NDArray[np.int32]  # (n,), inverse of node
    journal: NDArray[np.int32]  # overwritten stretches, each followed by its start and size
    top: NDArray[np.int64]  # (1,), used part of the journal
    stretch: NDArray[np.int32]  # (n,), scratch


class Queue(NamedTuple):
    """Nodes whose neighbourhood may hold a better move, each at most once."""

    ring: NDArray[np.int32]  # (n,)
    waiting: NDArray[np.bool_]  # (n,)
    span: NDArray[np.int64]  # (2,), first place and number


class Move(NamedTuple):
    """A sequential k-opt move: edges (t[0], t[1]), (t[2], t[3]), ... out, (t[1], t[2]), ..., (t[2k-1], t[0]) in."""

    t: NDArray[np.int32]  # (2 DEPTH + 2,)
    gain: NDArray[np.int64]  # (DEPTH + 1,), of the open chain
    cursor: NDArray[np.int64]  # (DEPTH + 1,), next choice at each depth
    cut: NDArray[np.int64]  # (DEPTH + 1,), places after which the tour is cut, ascending
    mate: NDArray[np.int64]  # (2 DEPTH + 2,), segment end that each segment end is joined to
    turn: NDArray[np.int64]  # (DEPTH + 1,), segment ends through which segments are entered


@compiled
def new_tour(path: NDArray[np.int64]) -> Any:
    """The tour of a path, closed by the dummy."""
    n = path.size + 1
    node = np.empty(n, np.int32)
    for i in range(n - 1):  # compiling an assignment of slices takes seconds
        node[i] = path[i]
    node[n - 1] = n - 1
    place = np.empty(n, np.int32)
    for i in range(n):
        place[node[i]] = i
    journal = np.empty(JOURNAL_TOURS * (n + 2), np.int32)
    return Tour(node, place, journal, np.zeros(1, np.int64), np.empty(n, np.int32))


@compiled
def path_of(tour: Any) -> NDArray[np.int64]:
    """The path that a tour closes: the nodes after the dummy."""
    n = tour.node.size
    path = np.empty(n - 1, np.int64)
    for i in range(n - 1):
        path[i] = tour.node[(tour.place[n - 1] + 1 + i) % n]
    return path


@compiled
def new_queue(n: int) -> Any:
    """An empty queue for n nodes."""
    return Queue(np.empty(n, np.int32), np.zeros(n, np.bool_), np.zeros(2, np.int64))


@compiled
def push(queue: Any, node: int) -> None:
    """Append `node` unless it is waiting."""
    if not queue.waiting[node]:
        queue.waiting[node] = True
        queue.ring[(queue.span[0] + queue.span[1]) % queue.ring.size] = node
        queue.span[1] += 1


@compiled
def pop(queue: Any) -> int:
    """Take the first node."""
    node = queue.ring[queue.span[0]]
    queue.span[0] = (queue.span[0] + 1) % queue.ring.size
    queue.span[1] -= 1
    queue.waiting[node] = False
    return node


@compiled
def new_move() -> Any:
    """Scratch for one move."""
    return Move(
        np.empty(2 * DEPTH + 4, np.int32),
        np.empty(DEPTH + 1, np.int64),
        np.empty(DEPTH + 1, np.int64),
        np.empty(DEPTH + 1, np.int64),
        np.empty(2 * DEPTH + 4, np.int64),
        np.empty(DEPTH + 1, np.int64),
    )


@compiled
def draw(state: NDArray[np.uint64], below: int) -> Any:
    """A pseudo-random integer of 0 ... below - 1 (splitmix64: Steele, Lea, Flood, OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = state[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return np.int64(bits >> np.uint64(33)) % below


@compiled
def rewrite(tour: Any, start: int, size: int) -> None:
    """Replace the stretch of `size` places from `start` by the scratch stretch, and journal its contents."""
    n = tour.node.size
    top = tour.top[0]
    place = start
    for i in range(size):
        tour.journal[top + i] = tour.node[place]
        node = tour.stretch[i]
        tour.node[place] = node
        tour.place[node] = place
        place += 1
        if place == n:
            place = 0
    tour.journal[top + size] = start
    tour.journal[top + size + 1] = size
    tour.top[0] = top + size + 2


@compiled
def undo(tour: Any) -> None:
    """Undo every journaled stretch, the last one first."""
    n = tour.node.size
    top = tour.top[0]
    while top > 0:
        size = tour.journal[top - 1]
        place = tour.journal[top - 2]
        top -= size + 2
        for i in range(size):
            node = tour.journal[top + i]
            tour.node[place] = node
            tour.place[node] = place
            place += 1
            if place == n:
                place = 0
    tour.top[0] = 0


@compiled
def cut_place(tour: Any, move: Any, edge: int) -> Any:
    """Place of the earlier end of a removed edge, and whether t[2 edge] is that end."""
    n = tour.node.size
    p = tour.place[move.t[2 * edge]]
    q = tour.place[move.t[2 * edge + 1]]
    if q == p + 1 or (q == 0 and p == n - 1):
        return p, True
    return q, False


@compiled
def segment_end(tour: Any, move: Any, k: int, which: int) -> int:
    """The segment end at t[which]: 2 s for the start of segment s, 2 s + 1 for its end.

    Segment s ends at cut s; segment 0 follows the last cut.
    """
    place, first_is_earlier = cut_place(tour, move, which >> 1)
    s = 0
    while move.cut[s] != place:
        s += 1
    if first_is_earlier == (which & 1 == 0):
        return 2 * s + 1
    return 2 * ((s + 1) % k)


@compiled
def segment_size(move: Any, k: int, s: int, n: int) -> int:
    """Places in segment s."""
    if s > 0:
        return move.cut[s] - move.cut[s - 1]
    return move.cut[0] - move.cut[k - 1] + n


@compiled
def longest_if_tour(tour: Any, move: Any, k: int) -> int:
    """The longest segment if the first k edge exchanges of `move` close to a tour, else -1.

    Fills move.cut, and move.turn with the other segments in the order of the new tour.
    """
    for edge in range(k):
        place, _ = cut_place(tour, move, edge)
        slot = edge
        while slot > 0 and move.cut[slot - 1] > place:
            move.cut[slot] = move.cut[slot - 1]
            slot -= 1
        move.cut[slot] = place
    for edge in range(k):
        one = segment_end(tour, move, k, 2 * edge + 1)
        other = segment_end(tour, move, k, (2 * edge + 2) % (2 * k))
        move.mate[one] = other
        move.mate[other] = one
    longest = 0
    size = -1
    for s in range(k):
        if segment_size(move, k, s, tour.node.size) > size:
            size = segment_size(move, k, s, tour.node.size)
            longest = s
    visited = 0
    end = move.mate[2 * longest + 1]
    while end >> 1 != longest:
        move.turn[visited] = end
        visited += 1
        end = move.mate[end ^ 1]
    return longest if visited == k - 1 else -1


@compiled
def apply_move(tour: Any, move: Any, k: int, longest: int) -> None:
    """Rewrite the tour outside its longest segment."""
    n = tour.node.size
    filled = 0
    for step in range(k - 1):
        s = move.turn[step] >> 1
        forward = move.turn[step] & 1 == 0
        size = segment_size(move, k, s, n)
        place = (move.cut[s - 1 if s > 0 else k - 1] + 1) % n if forward else move.cut[s]
        for _ in range(size):
            tour.stretch[filled] = tour.node[place]
            filled += 1
            place += 1 if forward else -1
            if place == n:
                place = 0
            elif place < 0:
                place = n - 1
    rewrite(tour, (move.cut[longest] + 1) % n, filled)


@compiled
def used_before(move: Any, depth: int, a: int, b: int, offset: int) -> bool:
    """Whether edge (a, b) is one of the move's removed (offset 0) or added (offset 1) edges so far."""
    for edge in range(depth - offset):
        u = move.t[2 * edge + offset]
        v = move.t[2 * edge + offset + 1]
        if (u == a and v == b) or (u == b and v == a):
            return True
    return False


@compiled
def improve(source: Any, potentials: NDArray[np.int64], neighbours: Any, tour: Any, move: Any) -> Any:
    """Apply the first improving move that removes edge (t[0], t[1]); returns its gain in flips and its depth.

    Depth-first over the choices (neighbour of the chain's end, which of that neighbour's edges to remove).
    A chain is followed while its gain is positive.
    """
    n = tour.node.size
    t = move.t
    move.gain[0] = edge_cost(source, potentials, t[0], t[1])
    move.cursor[1] = 0
    depth = 1
    while depth > 0:
        choice = move.cursor[depth]
        if choice >= 2 * min(BREADTH[depth - 1], neighbours.node.shape[1]):
            depth -= 1
            continue
        end = t[2 * depth - 1]
        partner = neighbours.node[end, choice >> 1]
        open_gain = move.gain[depth - 1] - neighbours.cost[end, choice >> 1]
        place = tour.place[partner]
        apart = abs(tour.place[end] - place)
        if open_gain <= 0 or apart == 1 or apart == n - 1 or used_before(move, depth, end, partner, 1):
            move.cursor[depth] = (choice | 1) + 1
            continue
        move.cursor[depth] = choice + 1
        after = tour.node[(place + 1 if place + 1 < n else 0) if choice & 1 == 0 else place - 1]
        if used_before(move, depth, partner, after, 0):
            continue
        open_gain += edge_cost(source, potentials, partner, after)
        t[2 * depth] = partner
        t[2 * depth + 1] = after
        if after != t[0]:
            gain = open_gain - edge_cost(source, potentials, after, t[0])
            if gain >= UNIT:
                longest = longest_if_tour(tour, move, depth + 1)
                if longest >= 0:
                    apply_move(tour, move, depth + 1, longest)
                    return gain >> FRACTION_BITS, depth + 1
        if depth < DEPTH:
            move.gain[depth] = open_gain
            depth += 1
            move.cursor[depth] = 0
    return 0, 0


@compiled
def descend(source: Any, potentials: NDArray[np.int64], neighbours: Any, tour: Any, queue: Any, move: Any) -> int:
    """Apply improving moves until no queued node has one, or the journal is full; returns the gain in flips."""
    n = tour.node.size
    total = 0
    while queue.span[1] > 0:
        node = pop(queue)
        side = 0
        while side < 2 and tour.top[0] + n + 2 <= tour.journal.size:
            place = tour.place[node]
            move.t[0] = node
            move.t[1] = tour.node[(place + 1) % n] if side == 0 else tour.node[place - 1]
            gain, edges = improve(source, potentials, neighbours, tour, move)
            side += 1
            if gain > 0:
                total += gain
                for end in range(2 * edges):
                    if move.t[end] != node:
                        push(queue, move.t[end])
                side = 0
    return total


@compiled
def choose_stretch(tour: Any, neighbours: Any, state: NDArray[np.uint64], cut: NDArray[np.int64]) -> int:
    """Four cuts near each other in the metric; returns the first place after a cut, fills three segment sizes.

    The largest of the four segments between the cuts is left out.
    """
    n = tour.node.size
    centre = tour.node[draw(state, n)]
    origin = tour.place[centre]
    ahead = np.zeros(4, np.int64)
    found = 1
    breadth = min(WALK_BREADTH, neighbours.node.shape[1])
    for _ in range(WALKS):
        node = centre
        for _ in range(WALK_STEPS):
            node = neighbours.node[node, draw(state, breadth)]
        far = (tour.place[node] - origin) % n
        if np.any(ahead[:found] == far):
            continue
        slot = found
        while ahead[slot - 1] > far:
            ahead[slot] = ahead[slot - 1]
            slot -= 1
        ahead[slot] = far
        found += 1
        if found == 4:
            break
    if found < 4:
        for s in range(4):
            ahead[s] = s
    sizes = np.empty(4, np.int64)
    for s in range(4):
        sizes[s] = (ahead[(s + 1) % 4] - ahead[s]) % n
    last = np.argmax(sizes)
    for s in range(3):
        cut[s] = sizes[(last + 1 + s) % 4]
    return (origin + ahead[(last + 1) % 4] + 1) % n


@compiled
def kick(
    source: Any, tour: Any, neighbours: Any, queue: Any, state: NDArray[np.uint64], sizes: NDArray[np.int64]
) -> Any:
    """Double bridge: segments A B C of a stretch become C B A; queues their ends, returns the added flips."""
    n = tour.node.size
    start = choose_stretch(tour, neighbours, state, sizes)
    first = (start, start + sizes[0], start + sizes[0] + sizes[1])
    filled = 0
    for s in range(2, -1, -1):
        for i in range(sizes[s]):
            tour.stretch[filled] = tour.node[(first[s] + i) % n]
            filled += 1
    added = np.int64(0)
    ends = (start, first[1], first[2], start + filled)
    for end in ends:
        added -= flips_between(source, tour.node[(end - 1) % n], tour.node[end % n])
        push(queue, tour.node[(end - 1) % n])
        push(queue, tour.node[end % n])
    rewrite(tour, start, filled)
    for end in (start, start + sizes[2], start + sizes[2] + sizes[1], start + filled):
        added += flips_between(source, tour.node[(end - 1) % n], tour.node[end % n])
    return added


@compiled
def flips_between(source: Any, i: int, j: int) -> Any:
    """Distance of two nodes of the tour, in flips; 0 to the dummy."""
    n = source.shape[0]
    if i == n or j == n:
        return 0
    return distance(source, i, j)


@compiled
def search(
    source: Any,
    potentials: NDArray[np.int64],
    neighbours: Any,
    tour: Any,
    length: int,
    target: int,
    kicks: int,
    state: NDArray[np.uint64],
) -> Any:
    """Kick and repair the tour, in place, at most `kicks` times or until its length is `target`.

    Parameters
    ----------
    source : ndarray
        (N, N) distances of uint16 or int32, or (N, W) packed rows of uint64.
    potentials : ndarray of int64, shape (N,)
        In 2 ** -FRACTION_BITS flips.
    neighbours : Neighbours
        Under the same potentials.
    tour : Tour
        Tour of N + 1 nodes, N >= 8.
    length : int
        Length of the tour, in flips.
    target : int
        A lower bound, in flips.
    kicks : int
        Work limit; 0 for one descent from all nodes.
    state : ndarray of uint64, shape (1,)
        State of the random numbers; advanced.

    Returns
    -------
    length : int
        New length of the tour, in flips; never more than before.
    done : int
        Number of kicks made.
    """
    n = tour.node.size
    queue = new_queue(n)
    move = new_move()
    sizes = np.empty(3, np.int64)
    if kicks == 0:
        for i in range(n):
            push(queue, tour.node[i])
        length -= descend(source, potentials, neighbours, tour, queue, move)
        tour.top[0] = 0
    for done in range(kicks):
        if length <= target:
            return length, done
        change = kick(source, tour, neighbours, queue, state, sizes)
        change -= descend(source, potentials, neighbours, tour, queue, move)
        if change <= 0:
            length += change
            tour.top[0] = 0
        else:
            undo(tour)
    return length, kicks
