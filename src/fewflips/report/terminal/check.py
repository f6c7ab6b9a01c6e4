"""What got worse, one line a layer."""

from __future__ import annotations

from itertools import groupby

from fewflips.records.check import CheckReport, Excess
from fewflips.records.quantities import QUANTITY_WORDS
from fewflips.report.numbers import as_energy, as_figure, with_si_prefix
from fewflips.visible import printable

_PER_MAC = {
    "weight_flips_per_mac": ("weight flips", "a MAC"),
    "activation_flips_per_mac": ("activation flips", "a MAC"),
    "estimated_fj_per_mac": ("estimated energy", "fJ a MAC"),
    "data_fj_per_mac": ("data energy", "fJ a MAC"),
}
_MOST_NAMED = 3


def check_lines(report: CheckReport) -> str:
    """One line for each layer that got worse, one for the network if it did, and a summary.

    Parameters
    ----------
    report : CheckReport
        Result of ``fewflips check``.

    Returns
    -------
    str
        Plain text.
    """
    lines = [
        f"{'total' if layer is None else printable(layer)}: {'; '.join(map(_excess, excesses))}"
        for layer, excesses in groupby(report.worse, key=lambda excess: excess.layer)
    ]
    return "\n".join([*lines, *_others(report), _summary(report)])


def _excess(excess: Excess) -> str:
    words, value, limit = _figures(excess)
    more = f" (+{(excess.value / excess.limit - 1) * 100:.2f} %)" if excess.limit else ""
    return f"{words} {value}, expected at most {limit}{more}"


def _figures(excess: Excess) -> tuple[str, str, str]:
    """The quantity, and both figures with their unit."""
    if excess.quantity in _PER_MAC:
        words, unit = _PER_MAC[excess.quantity]
        return words, f"{as_figure(excess.value)} {unit}", f"{as_figure(excess.limit)} {unit}"
    words = QUANTITY_WORDS[excess.quantity]
    if excess.quantity.endswith("_pj"):
        return words, as_energy(excess.value, " "), as_energy(excess.limit, " ")
    return words, with_si_prefix(round(excess.value), " "), with_si_prefix(round(excess.limit), " ")


def _others(report: CheckReport) -> list[str]:
    """Layers that could not be compared."""
    named = (("in the report alone", report.gone), ("in the model alone", report.added))
    return [f"Not compared, {where}: {_some(names)}." for where, names in named if names]


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) for name in names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


def _summary(report: CheckReport) -> str:
    words = [_PER_MAC[name][0] + " a MAC" if name in _PER_MAC else QUANTITY_WORDS[name] for name in report.quantities]
    layers = len({excess.layer for excess in report.worse if excess.layer is not None})
    verdict = "within" if report.passed else "WORSE than"
    compared = f"{report.layers} layer{'' if report.layers == 1 else 's'} compared, {layers} of them worse"
    subject = f"{printable(report.model.file)} on {printable(report.accelerator.name)}"
    return f"{subject}: {verdict} {printable(report.file)} ({', '.join(words)}); {compared}"
