"""The audit's part of the result page."""

from __future__ import annotations

from scripts.reproduction.targets import Target, targets_of

from .figures import Audit
from .memory import SRAM_PJ_PER_BIT
from .setups import UNITS_AND_CELLS, questions
from .tables import answer, baseline_table, machine_table, prediction_table, unit_table, weight_table


def audit_sections(found: Audit) -> str:
    """All tables, with words.

    Parameters
    ----------
    found : Audit
        The figures.

    Returns
    -------
    str
        Markdown, headings of the second level.
    """
    sections = (
        ("Against other baselines", f"{_baseline_words(found)}\n\n{baseline_table(found)}\n\n{_weight_words()}"),
        ("In other cells and units", f"{_unit_words(found)}\n\n{unit_table(found)}"),
        ("On other machines, and with the buffers on the bill", f"{_machine_words()}\n\n{machine_table(found)}"),
        ("What the weights are", f"{_entropy_words()}\n\n{weight_table(found)}"),
        ("Estimates from flips", f"{_prediction_words()}\n\n{prediction_table(found)}"),
    )
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections)


def fair_targets(found: Audit) -> list[tuple[str, list[Target]]]:
    """The paper's figures for the pairs that differ in the HD term alone: the baseline has the same headroom."""
    points = {(one.before, one.after): one.points for one in found.paired}
    result = []
    for question in questions():
        before, after = question.before, question.after
        if before.network.startswith("headroom") and before.order == "natural":
            got = answer(found, question)
            change = points[before.network, after.network]
            result.append((question.pair, targets_of(got.mean, got.best, change)))
    return result


def _baseline_words(found: Audit) -> str:
    lines = [f"- {label}, {target.text}" for label, wanted in fair_targets(found) for target in wanted]
    missed = sum(not target.reached for _, wanted in fair_targets(found) for target in wanted)
    verdict = f"{missed} of {len(lines)} targets are missed" if missed else f"all {len(lines)} targets are reached"
    listed = "\n".join(lines)
    return f"""\
These tables, to the one of estimates, are made by `python -m scripts.audit`. The HD-trained networks have activation
codes of half the size (`activation_headroom: 2`), which lowers the energy
whatever the weights. Given to the baseline, too, without any training, it leaves a comparison that differs in the HD
term alone. There, in natural order, {verdict}:

{listed}

All rows in the measure of the summary, on `edge4`, cells of `nangate45`, units as wide as the files store the weights.
Points: accuracy of the HD-trained network less that of the row's, with the standard error of that paired difference
on the same 10,000 images. The seed's own spread is not in it."""


def _weight_words() -> str:
    return """\
The last rows are the best simple alternative that was tried: fewer bits and magnitude pruning, with the same headroom
and a schedule of its own, on the same unit as the HD-trained network and on a narrower one. Against it HD training is
worth the factor in the column *network*, no more. Its recipe
(`configs/reproduction/alternatives/pruned_5bit_seed0.yaml`) was written down before it was run, and run once."""


def _unit_words(found: Audit) -> str:
    answers = [answer(found, question) for question in questions() if question.section == UNITS_AND_CELLS]
    means, networks = [one.mean for one in answers], [one.network for one in answers]
    return f"""\
8 bits, seed 0, on `edge4`: baseline as trained in natural order, against HD-trained and scheduled. The figure of the
summary is the first row. Over these set-ups the mean of the layers' ratios is {min(means):.2f}x to {max(means):.2f}x,
and that of the network {min(networks):.2f}x to {max(networks):.2f}x. *Whole*: every cell of the Liberty file, where
the built-in tables have some twenty. *One sum*: a column that adds all products and the partial sum in one expression,
which Yosys fuses."""


def _machine_words() -> str:
    return f"""\
The same pair, cells of `nangate45`. The networks were trained for `edge4`; a machine of more lanes asks neighbours to
agree in more weights. Buffers: every word that enters or leaves the array, counted from the loop nest, at
{SRAM_PJ_PER_BIT} pJ a bit (an 8 KB SRAM: M. Horowitz, ISSCC 2014); partial sums are written and read again between
segments, and a schedule reads an index with each word of weights. *With buffers* is the ratio of data energy and
buffers together. Main memory, control and wires between buffer and array are left out."""


def _entropy_words() -> str:
    return """\
Zeros and entropy of the weight codes (all codes of a network together, whatever their order; layer by layer their
entropy is lower). HD training leaves fewer distinct weights: a part of what it saves could be had, and stored, by other
means of compression."""


def _prediction_words() -> str:
    return """\
What `fewflips measure` would have said (the built-in calibrations, inertial data energy), less what was simulated.
The calibrations that fit were made with the baseline of seed 0 itself, in natural order, so that its rows are no test;
the HD-trained network is unlike it, and is predicted less well."""
