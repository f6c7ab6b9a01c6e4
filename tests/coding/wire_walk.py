"""Bus-invert wires, lane by lane and cycle by cycle, in plain Python: nothing of the package is used."""

from __future__ import annotations


def bus_invert_walk(cycles, bits):
    """Flips of one inference from (pass label, words) of each cycle: within passes by position, and at seams.

    Positions are those of the data wires, least significant first, and then the flag.
    """
    mask = (1 << bits) - 1
    lanes = [(0, 0)] * len(cycles[0][1])  # data and flag
    positions, seams, previous = [0] * (bits + 1), 0, None
    for label, words in cycles:
        for lane, word in enumerate(words):
            data, flag = lanes[lane]
            invert = 2 * ((data ^ word).bit_count() + flag) > bits
            lanes[lane] = (word ^ mask if invert else word, int(invert))
            changed = [(data ^ lanes[lane][0]) >> bit & 1 for bit in range(bits)] + [flag ^ lanes[lane][1]]
            if label == previous:
                positions = [count + one for count, one in zip(positions, changed, strict=True)]
            elif previous is not None:
                seams += sum(changed)
        previous = label
    return tuple(positions), seams
