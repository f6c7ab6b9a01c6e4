"""What every coding has to say about the wires of a port."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewflips.formats.codes import Codes


class Wires(NamedTuple):
    """What the wires of a port hold over the cycles of a pass.

    Parameters
    ----------
    lanes : Codes
        The coded words, shape (T, L).
    side : tuple of Codes
        Extra wires, each of shape (T, S): one invert flag for each lane, say. S and the widths are the same in every
        pass of a layer.
    """

    lanes: Codes
    side: tuple[Codes, ...] = ()

    @property
    def parts(self) -> tuple[Codes, ...]:
        """Lanes first, then the side lanes."""
        return (self.lanes, *self.side)


class Coding(ABC):
    """An encoder at one end of a port's wires, and a decoder at the other, in front of the arithmetic units.

    Both may remember what went before: the *state*, an array of any shape and dtype, the same in each pass. It follows
    from the words sent so far, so that the decoder knows it as well. Encoding a pass from one state always gives the
    same wires and the same next state; counting relies on that where passes repeat.
    """

    name: ClassVar[str]
    """Key in the registry and in YAML."""

    def start(self, lanes: int, bits: int) -> NDArray[Any]:
        """The state before the first word of a layer.

        Parameters
        ----------
        lanes : int
            Words of a cycle, L.
        bits : int
            Width of a code.

        Returns
        -------
        ndarray
            Empty here: a coding that remembers nothing.
        """
        return np.zeros(0, dtype=np.uint8)

    @abstractmethod
    def encode(self, codes: Codes, state: NDArray[Any]) -> tuple[Wires, NDArray[Any]]:
        """Send the words of a pass.

        Parameters
        ----------
        codes : Codes
            Words of uint8 or uint16, shape (T, L), and their width; idle lanes hold zero.
        state : ndarray
            What is remembered of the passes before: of :meth:`start`, or of the last call.

        Returns
        -------
        Wires
            What the wires hold in each of the T cycles.
        ndarray
            The state after the last word.
        """

    @abstractmethod
    def decode(self, wires: Wires, bits: int, state: NDArray[Any]) -> NDArray[np.unsignedinteger]:
        """Get the words of a pass back.

        Parameters
        ----------
        wires : Wires
            What the wires hold.
        bits : int
            Width of a code.
        state : ndarray
            As :meth:`encode` got it.

        Returns
        -------
        ndarray of uint8 or uint16, shape (T, L)
            The words that were sent, without exception.
        """
