"""Bus-invert coding: a word or its complement, whichever changes fewer wires.

M. Stan and W. Burleson, "Bus-invert coding for low-power I/O", IEEE Trans. VLSI Systems, 1995: each lane has one more
wire, the invert flag. A word goes inverted where more than half of the lane's wires would change otherwise, the flag
counted among them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.coding import Coding, Wires
from fewflips.formats.codes import Codes
from fewflips.machine.coding_names import BUS_INVERT


class BusInvert(Coding):
    """One flag for each lane; the state is what the wires hold."""

    name = BUS_INVERT

    def start(self, lanes: int, bits: int) -> NDArray[Any]:
        """Wires (row 0) and flags (row 1) hold zero before the first word."""
        return np.zeros((2, lanes), dtype=np.uint16)

    def encode(self, codes: Codes, state: NDArray[Any]) -> tuple[Wires, NDArray[Any]]:
        """Invert where that changes fewer wires.

        The flag follows from how many bits of the words themselves change. Up to half of the bits: it stays; by at
        least one more than half: it toggles; in between, which happens at an odd width alone: it is set.
        """
        words, bits = codes
        if not len(words):
            return Wires(codes, (Codes(np.zeros(words.shape, dtype=np.uint8), 1),)), state
        mask = (1 << bits) - 1
        wires, flag = state.astype(np.uint16)
        first = (wires ^ flag * np.uint16(mask)) ^ words[0]
        changed = np.bitwise_count(np.concatenate([first[None].astype(words.dtype), words[1:] ^ words[:-1]]))
        parity = np.logical_xor.accumulate(2 * changed >= bits + 2, axis=0)
        flags = parity ^ flag.astype(np.bool_)
        if bits % 2:
            cycles = np.arange(len(words), dtype=np.int32)[:, None]
            last_set = np.maximum.accumulate(np.where(2 * changed == bits + 1, cycles, np.int32(-1)), axis=0)
            parity_then = np.take_along_axis(parity, np.maximum(last_set, 0), axis=0)
            flags = np.where(last_set >= 0, parity ^ ~parity_then, flags)
        sent = words ^ flags * words.dtype.type(mask)
        after = np.stack([sent[-1], flags[-1]]).astype(np.uint16)
        return Wires(Codes(sent, bits), (Codes(flags.astype(np.uint8), 1),)), after

    def decode(self, wires: Wires, bits: int, state: NDArray[Any]) -> NDArray[np.unsignedinteger]:
        """What is on the lanes, inverted where the flag says so: the decoder needs no state."""
        lanes, (flags,) = wires.lanes.words, wires.side
        words: NDArray[np.unsignedinteger] = lanes ^ flags.words.astype(lanes.dtype) * lanes.dtype.type((1 << bits) - 1)
        return words
