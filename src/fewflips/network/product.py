"""An integer matrix product Y[M, N] = X[M, K] W[K, N]."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.errors import InputError
from fewflips.network.operand import Operand


@dataclass(frozen=True, eq=False)
class Product:
    """One operator that multiplies two operands.

    Parameters
    ----------
    name : str
        Unique within the network.
    operator : str
        The file's own operator.
    left : Operand
        X, of shape (M, K): the rows of one group.
    right : Operand
        W, transposed: of shape (N, K).
    groups : int
        1 for a dense product; N, or a divisor of N, for a grouped one. Output channel n belongs to group
        ``n // (N // groups)``, and each group has rows of X of its own.
    """

    name: str
    operator: str
    left: Operand
    right: Operand
    groups: int

    def __post_init__(self) -> None:
        if self.left.shape[1] != self.right.shape[1]:
            raise InputError(
                f"{self.name} ({self.operator}): expected operands with rows of one length, got shapes "
                f"{self.left.shape} and {self.right.shape}"
            )

    @property
    def m(self) -> int:
        """Rows of X in one inference: output pixels x batch."""
        return self.left.shape[0]

    @property
    def n(self) -> int:
        """Output channels."""
        return self.right.shape[0]

    @property
    def k(self) -> int:
        """Reduction length of one output."""
        return self.right.shape[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference."""
        return self.m * self.n * self.k

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}, M={self.m}, N={self.n}, K={self.k})"
