"""Plain wires: each code as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.coding.coding import Coding, Wires
from fewflips.formats.codes import Codes
from fewflips.machine.coding_names import PLAIN


class Plain(Coding):
    """No side lanes and no state."""

    name = PLAIN

    def encode(self, codes: Codes, state: NDArray[Any]) -> tuple[Wires, NDArray[Any]]:
        """The codes themselves, not copied."""
        return Wires(codes), state

    def decode(self, wires: Wires, bits: int, state: NDArray[Any]) -> NDArray[np.unsignedinteger]:
        """The words on the lanes, not copied."""
        return wires.lanes.words
