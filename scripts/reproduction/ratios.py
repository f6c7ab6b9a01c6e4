"""Ratios of a variant to its baseline: layer by layer, their mean, and of the totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from fewflips.errors import InputError

from .figures import Energies, VariantFigures

Measure = Literal["zero_delay_data_pj", "zero_delay_total_pj", "inertial_data_pj", "inertial_total_pj"]
MEASURES: tuple[tuple[Measure, str], ...] = (
    ("inertial_data_pj", "inertial, data"),
    ("inertial_total_pj", "inertial, with clock"),
    ("zero_delay_data_pj", "zero delay, data"),
    ("zero_delay_total_pj", "zero delay, with clock"),
)
HEADLINE: Measure = "inertial_data_pj"


@dataclass(frozen=True)
class Ratios:
    """Energy of the baseline over that of a variant.

    Parameters
    ----------
    layers : tuple of float
        One for each layer.
    mean : float
        Mean of all layers' ratios.
    dense_mean : float or None
        Mean of the layers that are not depthwise; None if there are none.
    network : float
        Ratio of the totals.
    """

    layers: tuple[float, ...]
    mean: float
    dense_mean: float | None
    network: float

    @property
    def best(self) -> float:
        """Ratio of the layer that saves most."""
        return max(self.layers)


def ratios(baseline: VariantFigures, variant: VariantFigures, library: str, measure: Measure = HEADLINE) -> Ratios:
    """Ratios of the baseline's energies to a variant's.

    Parameters
    ----------
    baseline, variant : VariantFigures
        With the same layers.
    library : str
        Cell library.
    measure : str
        Which energy.

    Returns
    -------
    Ratios
        Above 1 where the variant takes less.

    Raises
    ------
    InputError
        If the two do not have the same layers.
    """
    names = [[(layer.name, layer.macs) for layer in one.layers] for one in (baseline, variant)]
    if names[0] != names[1]:
        raise InputError(
            f"{variant.network}: expected the layers of {baseline.network}, got others: a ratio compares two trainings "
            "of the same network"
        )
    found = tuple(
        _ratio(before.energies[library], after.energies[library], measure)
        for before, after in zip(baseline.layers, variant.layers, strict=True)
    )
    dense = [ratio for ratio, layer in zip(found, variant.layers, strict=True) if not layer.depthwise]
    return Ratios(
        layers=found,
        mean=fmean(found),
        dense_mean=fmean(dense) if dense else None,
        network=_ratio(baseline.total[library], variant.total[library], measure),
    )


def baseline_of(variant: VariantFigures, variants: Sequence[VariantFigures]) -> VariantFigures:
    """The baseline with the same bits and seed."""
    return next(
        one for one in variants if (one.variant, one.bits, one.seed) == ("baseline", variant.bits, variant.seed)
    )


def _ratio(before: Energies, after: Energies, measure: Measure) -> float:
    return float(getattr(before, measure) / getattr(after, measure))
