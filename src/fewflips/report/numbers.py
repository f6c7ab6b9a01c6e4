"""Figures as text, and the ratios shown in reports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from fewflips.records.notes import StandingNote
from fewflips.records.optimization import LayerResult, OptimizeReport, PortResult
from fewflips.visible import printable, shorten_middle

THIN_SPACE = "\u202f"
ABSENT = "\u2013"
_SHORTEST_PART = 4
_OPERATOR_PART = re.compile(
    r"(ReadVariableOp|resource|bias(es)?|weights|BiasAdd|MatMul|Conv2D|BatchNorm_Fold|FusedBatchNormV\d|\w+_[Ff]old)\d*"
)
_SI_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_ENERGY_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "\u00b5J"), (1e3, "nJ"), (1.0, "pJ"))


def reduction(before: int, after: int) -> float | None:
    """Baseline over optimized; None if there is nothing left to divide by.

    Examples
    --------
    >>> reduction(300, 200)
    1.5
    >>> reduction(300, 0) is None
    True
    """
    return before / after if after else None


def above_bound(after: int, bound: int | None) -> float | None:
    """How far a number of flips is above its lower bound, as a share of the bound; None if unknown.

    Examples
    --------
    >>> above_bound(101, 100)
    0.01
    >>> above_bound(0, 0)
    0.0
    """
    if bound is None or (bound == 0 and after > 0):
        return None
    return (after - bound) / bound if bound else 0.0


def flip_rate(flips: int, port: PortResult) -> float:
    """Flips within passes as a normalized Hamming distance: 0.5 for random words."""
    places = port.transitions * port.bits
    return flips / places if places else 0.0


def with_thin_spaces(number: int) -> str:
    """An integer with its digits in groups of three.

    Examples
    --------
    >>> with_thin_spaces(1234567).replace(THIN_SPACE, "_")
    '1_234_567'
    """
    return f"{number:,}".replace(",", THIN_SPACE)


def with_si_prefix(number: int, space: str = THIN_SPACE) -> str:
    """An integer with three significant digits; exact below 10,000.

    Examples
    --------
    >>> with_si_prefix(9999, " "), with_si_prefix(1234567, " "), with_si_prefix(999_999, " ")
    ('9999', '1.23 M', '1.00 M')
    """
    if abs(number) < 10_000:
        return str(number)
    for step, prefix in _SI_STEPS:
        scaled = number / step
        if abs(scaled) >= 0.9995:
            return f"{_three_digits(scaled)}{space}{prefix}"
    return str(number)


def si_unit(number: float) -> tuple[float, str]:
    """The most readable prefix for a count, as in :func:`with_si_prefix`: its size and its symbol.

    Examples
    --------
    >>> si_unit(1_234_567), si_unit(9999)
    ((1000000, 'M'), (1, ''))
    """
    if abs(number) < 10_000:
        return 1, ""
    return next((unit for unit in _SI_STEPS if abs(number) / unit[0] >= 0.9995), (1, ""))


def energy_unit(picojoules: float) -> tuple[float, str]:
    """The most readable unit for an energy, never below pJ: its size in pJ, and its symbol.

    Examples
    --------
    >>> energy_unit(12_345.0), energy_unit(0.0)
    ((1000.0, 'nJ'), (1.0, 'pJ'))
    """
    return next((unit for unit in _ENERGY_UNITS if abs(picojoules) / unit[0] >= 0.9995), _ENERGY_UNITS[-1])


def as_energy(picojoules: float | None, space: str = THIN_SPACE) -> str:
    """An energy with three significant digits in a suitable unit; a dash if there is none.

    Examples
    --------
    >>> as_energy(1234.5, " "), as_energy(999.9, " "), as_energy(0.25, " "), as_energy(0.0, " ")
    ('1.23 nJ', '1.00 nJ', '0.25 pJ', '0 pJ')
    >>> as_energy(0.001, " "), as_energy(45_600_000, " ")
    ('< 0.01 pJ', '45.6 \u00b5J')
    """
    if picojoules is None:
        return ABSENT
    if picojoules == 0:
        return f"0{space}pJ"
    if abs(picojoules) < 0.005:
        return f"< 0.01{space}pJ" if picojoules > 0 else f"> -0.01{space}pJ"
    size, symbol = energy_unit(picojoules)
    return f"{_three_digits(picojoules / size)}{space}{symbol}"


def per_mac(picojoules: float, macs: int) -> float | None:
    """Energy of one multiplication, in fJ; None if there are none.

    Examples
    --------
    >>> per_mac(3.0, 2000), per_mac(3.0, 0)
    (1.5, None)
    """
    return picojoules * 1000 / macs if macs else None


def as_figure(number: float | None) -> str:
    """A number with three significant digits, or all digits before the point; a dash if there is none.

    Examples
    --------
    >>> as_figure(0.123456), as_figure(12.3456), as_figure(1234.5), as_figure(None) == ABSENT
    ('0.12', '12.3', '1234', True)
    """
    return ABSENT if number is None else _three_digits(number)


def energy_ratio(before: float | None, after: float | None) -> float | None:
    """Energy before over energy after; None if either is unknown or not above zero.

    Examples
    --------
    >>> energy_ratio(3.0, 2.0), energy_ratio(0.0, 0.0), energy_ratio(1.0, None)
    (1.5, None, None)
    """
    return before / after if before is not None and after is not None and before > 0 and after > 0 else None


def energy_change(before: float | None, after: float | None, sign: str = "\u00d7") -> str:
    """A change of energy in words; a dash if it is unknown.

    Examples
    --------
    >>> energy_change(3.0, 2.0, "x"), energy_change(2.0, 3.0, "x"), energy_change(2.0, 2.001)
    ('1.50x less', '1.50x more', 'as much')
    >>> energy_change(0.0, 0.0) == ABSENT
    True
    """
    ratio = energy_ratio(before, after)
    if ratio is None:
        return ABSENT
    if abs(ratio - 1) < 0.005:
        return "as much"
    return f"{ratio:.2f}{sign} less" if ratio > 1 else f"{1 / ratio:.2f}{sign} more"


def as_ratio(ratio: float | None, sign: str = "\u00d7") -> str:
    """A reduction, such as ``1.23x``; a dash if there is none."""
    return ABSENT if ratio is None else f"{ratio:.2f}{sign}"


def as_percent(share: float | None, space: str = THIN_SPACE) -> str:
    """A share in percent, with enough digits to distinguish it from 0 % and 100 %.

    Examples
    --------
    >>> as_percent(0.00213, " "), as_percent(0.5, " "), as_percent(0.0, " ")
    ('0.21 %', '50.0 %', '0 %')
    >>> as_percent(1e-7, " "), as_percent(0.99999, " ")
    ('< 0.01 %', '> 99.9 %')
    """
    if share is None:
        return ABSENT
    if share in (0, 1):
        return f"{share * 100:.0f}{space}%"
    if 0 < share < 5e-5:
        return f"< 0.01{space}%"
    if 0.9995 <= share < 1:
        return f"> 99.9{space}%"
    return f"{share * 100:.{2 if abs(share) < 0.01 else 1}f}{space}%"


def comparison(before: int, after: int, what: str, sign: str = "\u00d7") -> str:
    """A change in words.

    Examples
    --------
    >>> comparison(1234, 1000, "weight flips", "x")
    '1.23x fewer weight flips'
    >>> comparison(80, 100, "weight flips", "x")
    '1.25x more weight flips'
    >>> comparison(1001, 1000, "weight flips", "x")
    'as many weight flips as before'
    >>> comparison(7, 0, "weight flips")
    'no weight flips left'
    """
    if not after:
        return f"no {what} left" if before else f"no {what}, before or after"
    if abs(before / after - 1) < 0.005:
        return f"as many {what} as before"
    if before > after:
        return f"{before / after:.2f}{sign} fewer {what}"
    return f"{after / before:.2f}{sign} more {what}" if before else f"more {what}, from none"


def short_labels(names: list[str], width: int) -> list[str]:
    """Labels that distinguish layers on a chart: the number in the table, and the end of the name's path.

    The name part is the end of the result of :func:`telling_names`.

    Parameters
    ----------
    names : list of str
        Names of all layers of the report.
    width : int
        Characters for the name part.

    Returns
    -------
    list of str
        One label per layer.

    Examples
    --------
    >>> short_labels(["net/block_1/conv/add_fold", "net/block_2/conv/add_fold", "net/logits/add_fold"], 14)
    ['1 block_1', '2 block_2', '3 logits']
    """
    paths = _telling_paths(names)
    return [f"{number} {_path_end(path, width)}" for number, path in enumerate(paths, start=1)]


def telling_names(names: list[str]) -> list[str]:
    """The distinguishing parts of layers' names.

    If a name joins several operators by semicolons, the last is used; parts that most layers share, or that only name
    the kind of operator, are left out.

    Examples
    --------
    >>> telling_names(["net/block_1/conv/add_fold", "net/block_2/conv/add_fold", "net/logits/add_fold"])
    ['block_1', 'block_2', 'logits']
    """
    return ["/".join(path) for path in _telling_paths(names)]


def not_measured(inputs: str | None) -> str:
    """The note in a report without activations, where `inputs` are the sample inputs it was given.

    Examples
    --------
    >>> not_measured(None)
    'Activations were not measured: no sample inputs were given (--inputs).'
    """
    if inputs is None:
        return f"{StandingNote.NO_SAMPLE_INPUTS.removesuffix('.')} (--inputs)."
    return "Activations were not measured: the notes say why."


def ports(report: OptimizeReport, port: str) -> Iterator[tuple[LayerResult, PortResult]]:
    """Every layer of a report for which `port` ("weights" or "activations") is known, with that port."""
    for layer in report.layers:
        result = layer.weights if port == "weights" else layer.activations
        if result is not None:
            yield layer, result


def _three_digits(number: float) -> str:
    """Three significant digits, at most two of them after the point."""
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}"


def _telling_paths(names: list[str]) -> list[list[str]]:
    paths = [_path_parts(printable(name)) for name in names]
    return _without_common(_without_common(paths, -1), 0)


def _path_parts(name: str) -> list[str]:
    """Path of the last operator fused into a layer, without parts that only name the kind of operator."""
    path = [part for part in name.rpartition(";")[2].split("/") if part] or [name]
    while len(path) > 1 and _OPERATOR_PART.fullmatch(path[-1]):
        path = path[:-1]
    return path


def _without_common(paths: list[list[str]], position: int) -> list[list[str]]:
    """Paths without their first (0) or last (-1) parts if most paths have the same one."""
    most = len(paths) // 2 + 1
    while True:
        seen = Counter(path[position] for path in paths if len(path) > 1)
        common = {part for part, count in seen.items() if count >= max(most, 2)}
        if not common:
            return paths
        paths = [_without(path, position) if len(path) > 1 and path[position] in common else path for path in paths]


def _without(path: list[str], position: int) -> list[str]:
    return path[1:] if position == 0 else path[:-1]


def _path_end(path: list[str], width: int) -> str:
    label = path[-1]
    for part in reversed(path[:-1]):
        room = width - len(label) - 1
        if len(part) > room:
            return f"\u2026{part[1 - room :]}/{label}" if room > _SHORTEST_PART else shorten_middle(label, width)
        label = f"{part}/{label}"
    return shorten_middle(label, width)
