"""Tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fewflips.report.markdown.escaping import inline
from fewflips.report.numbers import telling_names
from fewflips.training.config import QuantizedStage

from .figures import NetworkFigures, Reproduction, VariantFigures
from .ratios import HEADLINE, MEASURES, baseline_of, ratios
from .targets import PAPER_BEST, PAPER_MEAN

_PJ_PER_NJ, _PJ_PER_UJ = 1e3, 1e6
_ABSENT = "-"


def summary_table(found: Reproduction) -> str:
    """Every variant: accuracy, flips, and the ratios of the headline, with the paper's beside them."""
    library = next(iter(found.cells))
    header = ["bits", "seed", "variant", "accuracy, %", "points", "flips", "fewer flips"]
    header += ["mean of layers", "mean of dense layers", "network", "best layer"]
    rows = []
    for variant in found.variants:
        baseline = baseline_of(variant, found.variants)
        ratio = ratios(baseline, variant, library)
        dense = _ABSENT if ratio.dense_mean is None else f"{ratio.dense_mean:.2f}x"
        rows.append(
            (
                str(variant.bits),
                str(variant.seed),
                variant.variant,
                f"{variant.accuracy_percent:.2f}",
                f"{variant.accuracy_percent - baseline.accuracy_percent:+.2f}",
                f"{variant.flips / 1e6:.3f} M",
                f"{baseline.flips / variant.flips:.2f}x" if variant.flips else _ABSENT,
                f"{ratio.mean:.2f}x",
                dense,
                f"{ratio.network:.2f}x",
                f"{ratio.best:.2f}x",
            )
        )
    blank = [_ABSENT] * 2
    paper = [*blank, "*the paper's*", *blank, *blank, f"{PAPER_MEAN}x", *blank, f"{PAPER_BEST}x"]
    return table(header, [*rows, paper])


def measure_table(found: Reproduction) -> str:
    """Mean of the layers' ratios and ratio of the totals, under every model of delays and in every library."""
    columns = [(library, measure, words) for library in found.cells for measure, words in MEASURES]
    header = ("bits", "seed", "variant", *(f"{library}: {words}" for library, _, words in columns))
    rows = []
    for variant in found.variants:
        if variant.variant == "baseline":
            continue
        baseline = baseline_of(variant, found.variants)
        cells = []
        for library, measure, _ in columns:
            ratio = ratios(baseline, variant, library, measure)
            cells.append(f"{ratio.mean:.2f}x / {ratio.network:.2f}x")
        rows.append((str(variant.bits), str(variant.seed), variant.variant, *cells))
    return table(header, rows)


def energy_table(found: Reproduction) -> str:
    """Energy of one inference, in microjoules."""
    columns = [(library, measure, words) for library in found.cells for measure, words in MEASURES]
    header = ("bits", "seed", "variant", *(f"{library}: {words}" for library, _, words in columns))
    rows = []
    for variant in found.variants:
        cells = [f"{getattr(variant.total[library], measure) / _PJ_PER_UJ:.4g}" for library, measure, _ in columns]
        rows.append((str(variant.bits), str(variant.seed), variant.variant, *cells))
    return table(header, rows)


def layer_table(found: Reproduction, variants: Sequence[VariantFigures]) -> str:
    """Every layer of one pair: what the baseline takes, and the ratio of each variant."""
    first, others = variants[0], variants[1:]
    libraries = list(found.cells)
    both = others[-1]
    header = ["layer", "MMACs", "baseline, nJ", *(variant.variant for variant in others), "fewer flips, both"]
    ratio_columns = [ratios(first, variant, libraries[0], HEADLINE).layers for variant in others]
    for library in libraries:
        for measure, words in MEASURES:
            if (library, measure) != (libraries[0], HEADLINE):
                header.append(f"both, {library}: {words}")
    more = [
        ratios(first, both, library, measure).layers
        for library in libraries
        for measure, _ in MEASURES
        if (library, measure) != (libraries[0], HEADLINE)
    ]
    names = telling_names([layer.name for layer in first.layers])
    rows = []
    for index, (name, layer) in enumerate(zip(names, first.layers, strict=True)):
        after = both.layers[index].flips
        rows.append(
            (
                inline(name),
                f"{layer.macs / 1e6:.3f}",
                f"{getattr(layer.energies[libraries[0]], HEADLINE) / _PJ_PER_NJ:.4g}",
                *(f"{column[index]:.2f}x" for column in ratio_columns),
                f"{layer.flips / after:.2f}x" if after else _ABSENT,
                *(f"{column[index]:.2f}x" for column in more),
            )
        )
    return table(header, rows)


def training_table(networks: Sequence[NetworkFigures]) -> str:
    """How the networks were trained, of those of which it is kept."""
    header = (
        "network",
        "size",
        "width",
        "epochs",
        "distilled from",
        "learning rate",
        "HD term",
        "trained",
        "processor",
    )
    return table(header, [_training_row(network) for network in networks])


def _training_row(network: NetworkFigures) -> Sequence[str]:
    size, run = f"{network.model_bytes / 1e6:.2f} MB", network.run
    if run is None or run.config.quantized_stage is None:
        return (f"`{network.name}`", size, *(_ABSENT,) * 7)
    config, stage = run.config, run.config.quantized_stage
    strides = "" if run.config.network.early_strides is False else ", early strides"
    hamming = config.hamming
    return (
        f"`{network.name}`",
        size,
        f"{config.network.width:g}{strides}",
        _epochs(network),
        _teacher(stage),
        f"{stage.learning_rate:g}",
        "no" if hamming is None else f"strength {hamming.strength:g}, for {hamming.accelerator}",
        f"{run.training_seconds / 60:.0f} min",
        run.processor,
    )


def _epochs(network: NetworkFigures) -> str:
    run = network.run
    if run is None or run.config.quantized_stage is None:
        return _ABSENT
    quantized = f"{run.config.quantized_stage.epochs} quantized"
    initial = run.config.initial
    if initial is None:
        return f"{run.config.float_stage.epochs} float, {quantized}"
    start = initial.onnx or initial.checkpoint
    return f"{quantized}, from `{start.name}`" if start else quantized


def _teacher(stage: QuantizedStage) -> str:
    if stage.distillation is None:
        return "no"
    teacher = stage.distillation.teacher
    return f"`{teacher.name}`" if isinstance(teacher, Path) else teacher


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
