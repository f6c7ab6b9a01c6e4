"""How much work the solver may do."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fewflips.errors import InputError


@dataclass(frozen=True)
class Effort:
    """A work limit, counted in steps of the algorithms and never in seconds, so that results are reproducible.

    Parameters
    ----------
    rounds : int
        How often the bound is raised and the path is searched, alternately.
    ascent_iterations : int
        Subgradient steps of one round.
    kicks_per_node : float
        Kicks of one round, per node of the instance; as many again before branching.
    least_kicks : int
        Kicks of one round for small instances; 0 disables kicks if `kicks_per_node` is also 0.
    neighbours : int
        Partners of a node in the sparse graph of the ascent and in the local search.
    cut_rounds : int
        How often cuts are looked for if the bound stays below the path.
    branch_nodes : int
        Subproblems that branch and bound may explore if cuts do not suffice.

    Raises
    ------
    InputError
        If a value is negative, or `rounds`, `ascent_iterations` or `neighbours` is less than 1, 1 and 5.
    """

    rounds: int
    ascent_iterations: int
    kicks_per_node: float
    least_kicks: int
    neighbours: int
    cut_rounds: int
    branch_nodes: int

    def __post_init__(self) -> None:
        least = {"rounds": 1, "ascent_iterations": 1, "neighbours": 5}
        for name in (entry.name for entry in fields(self)):
            if getattr(self, name) < least.get(name, 0):
                raise InputError(f"effort: expected {name} of at least {least.get(name, 0)}, got {getattr(self, name)}")

    @classmethod
    def quick(cls) -> Effort:
        """One ascent and one descent without kicks."""
        return cls(
            rounds=1,
            ascent_iterations=60,
            kicks_per_node=0,
            least_kicks=0,
            neighbours=8,
            cut_rounds=0,
            branch_nodes=0,
        )

    @classmethod
    def default(cls) -> Effort:
        """Two rounds with kicks."""
        return cls(
            rounds=2,
            ascent_iterations=60,
            kicks_per_node=0.25,
            least_kicks=200,
            neighbours=8,
            cut_rounds=0,
            branch_nodes=0,
        )

    @classmethod
    def prove(cls) -> Effort:
        """Longer ascents, more kicks, then branch and bound."""
        return cls(
            rounds=2,
            ascent_iterations=300,
            kicks_per_node=3,
            least_kicks=300,
            neighbours=10,
            cut_rounds=12,
            branch_nodes=30,
        )

    def kicks(self, nodes: int) -> int:
        """Kicks of one round for an instance of `nodes` nodes."""
        return max(self.least_kicks, round(self.kicks_per_node * nodes))
