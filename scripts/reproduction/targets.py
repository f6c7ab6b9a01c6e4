"""The paper's figures as targets: which are reached, and by how much the others are missed."""

from __future__ import annotations

from dataclasses import dataclass

from .figures import Reproduction, VariantFigures
from .ratios import baseline_of, ratios

PAPER_MEAN, PAPER_BEST = 2.85, 8.51
ACCURACY_POINTS = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Target:
    """A figure of `both` that is to be reached.

    Parameters
    ----------
    what : str
        In words.
    wanted, got : float
        Reached where `got` is at least `wanted`.
    unit : str
        Of both.
    """

    what: str
    wanted: float
    got: float
    unit: str

    @property
    def reached(self) -> bool:
        """Whether it is reached."""
        return self.got >= self.wanted - _ROUNDING

    @property
    def text(self) -> str:
        """A sentence."""
        goal = f"{self.what}: {self.got:.2f}{self.unit}, target at least {self.wanted:.2f}{self.unit}"
        if self.reached:
            return f"{goal}: reached."
        missing = self.wanted - self.got
        share = f" ({100 * missing / self.wanted:.0f} % of the target)" if self.wanted > 0 else ""
        return f"{goal}: **missed by {missing:.2f}{self.unit}**{share}."


def targets(found: Reproduction) -> list[tuple[VariantFigures, list[Target]]]:
    """Targets of every pair's variant `both`, in inertial data energy of the first library.

    Parameters
    ----------
    found : Reproduction
        All figures.

    Returns
    -------
    list of (VariantFigures, list of Target)
        One for each pair.
    """
    library = next(iter(found.cells))
    result = []
    for variant in found.variants:
        if variant.variant != "both":
            continue
        baseline = baseline_of(variant, found.variants)
        ratio = ratios(baseline, variant, library)
        change = variant.accuracy_percent - baseline.accuracy_percent
        result.append((variant, targets_of(ratio.mean, ratio.best, change)))
    return result


def targets_of(mean: float, best: float, points: float) -> list[Target]:
    """The paper's figures, and what accuracy may be lost, for one comparison.

    Parameters
    ----------
    mean, best : float
        Mean and largest of the layers' ratios.
    points : float
        Change of accuracy.

    Returns
    -------
    list of Target
        Three.
    """
    return [
        Target("mean of the layers' ratios", PAPER_MEAN, mean, "x"),
        Target("best layer", PAPER_BEST, best, "x"),
        Target("accuracy against the baseline's", -ACCURACY_POINTS, points, " points"),
    ]
