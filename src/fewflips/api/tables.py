"""Layers of a report as a table of another library."""

from __future__ import annotations

from typing import Any

from fewflips.errors import InputError
from fewflips.records.comparison import ComparisonReport
from fewflips.records.quantities import AnyReport
from fewflips.report.csv_text import layer_rows


def to_dataframe(report: AnyReport | ComparisonReport) -> Any:
    """Every layer as a row of a pandas data frame: the columns of ``--csv``.

    Parameters
    ----------
    report : OptimizeReport, MeasureReport, EnergyReport or ComparisonReport
        The report.

    Returns
    -------
    pandas.DataFrame
        Names, shapes, flips and energies of one inference, in pJ; unknown ones are missing.

    Raises
    ------
    InputError
        If pandas is not installed.

    Examples
    --------
    >>> fewflips.to_dataframe(fewflips.measure("shapes.onnx")).shape[0]
    5
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError("to_dataframe: expected pandas, got none: pip install 'fewflips[dataframe]'") from error
    return pandas.DataFrame(layer_rows(report))
