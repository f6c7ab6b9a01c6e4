"""Bus-invert coding, written once more outside the package: what docs/codings.md tells how to add.

Each lane has one more wire, its invert flag. A word is sent inverted where more than half of the lane's wires would
change otherwise, the flag counted among them (Stan and Burleson, "Bus-invert coding for low-power I/O", 1995).
"""

from __future__ import annotations

import numpy as np

from fewflips.coding import Coding, Wires
from fewflips.formats.codes import Codes


class BusInvert(Coding):
    """A word or its complement, whichever changes fewer wires."""

    name = "own-bus-invert"

    def start(self, lanes, bits):
        """Wires and flags hold zero before the first word."""
        return np.zeros((2, lanes), np.uint16)

    def encode(self, codes, state):
        words, bits = codes
        mask = (1 << bits) - 1
        sent, flags = np.empty_like(words), np.empty(words.shape, np.uint8)
        wires, flag = state
        for cycle, word in enumerate(words):
            changed = np.bitwise_count(wires ^ word) + flag
            flag = (2 * changed > bits).astype(np.uint16)
            wires = word ^ flag * mask
            sent[cycle], flags[cycle] = wires, flag
        return Wires(Codes(sent, bits), (Codes(flags, 1),)), np.stack([wires, flag])

    def decode(self, wires, bits, state):
        """What is on the lanes, inverted where the flag says so: the decoder needs no state."""
        (flags,) = wires.side
        return wires.lanes.words ^ flags.words.astype(np.uint16) * ((1 << bits) - 1)
