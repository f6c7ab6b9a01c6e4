"""The page: ``reproduction.md``."""

from __future__ import annotations

from collections.abc import Sequence

from . import tables
from .figures import Energies, NetworkFigures, Reproduction, VariantFigures
from .targets import PAPER_BEST, PAPER_MEAN, targets

_VARIANTS = """\
- **baseline**: the network trained without the HD term, in natural order.
- **post-training only**: the same network in the order of a schedule (`fewflips optimize --mode schedule`).
- **training only**: the network trained for as long, on the same images, with the HD term, in natural order. Its
  weights were trained to agree along their own orders, one for each segment, which are solved repeatedly during
  training. The natural order is not among them, so it shows only part of the effect of training.
- **both**: that network in the order of its schedule, which `fewflips optimize` finds from the ONNX file."""


def page(found: Reproduction, discussion: str = "", audit: str = "") -> str:
    """All figures, with words.

    Parameters
    ----------
    found : Reproduction
        The figures.
    discussion : str
        Markdown that was written by hand; it goes to the end.
    audit : str
        Sections on other baselines, cells and machines (`scripts.audit.page`); they follow the targets.

    Returns
    -------
    str
        Markdown.
    """
    headline = headline_variants(found)
    first = headline[0]
    sections = (
        ("", _introduction(found)),
        ("Summary", f"{_summary_words(found)}\n\n{tables.summary_table(found)}\n\n{_VARIANTS}"),
        ("Targets", _targets_words(found)),
        ("", audit.strip()),
        ("The networks", f"{_networks_words(found)}\n\n{tables.training_table(found.networks)}"),
        (
            "Every measure",
            "Baseline over variant: mean of the layers' ratios / ratio of the network's totals.\n\n"
            + tables.measure_table(found),
        ),
        ("Energies", f"Of one inference, in uJ.\n\n{tables.energy_table(found)}"),
        (
            f"Layer by layer, {first.bits} bits, seed {first.seed}",
            f"{_layer_words(found)}\n\n{tables.layer_table(found, headline)}",
        ),
        ("How to reproduce", _again_words(found)),
    )
    text = "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in sections if body)
    return "\n\n".join(part for part in (text, discussion.strip()) if part) + "\n"


def headline_variants(found: Reproduction) -> Sequence[VariantFigures]:
    """The variants of the first pair."""
    first = found.variants[0]
    return [one for one in found.variants if (one.bits, one.seed) == (first.bits, first.seed)]


def _introduction(found: Reproduction) -> str:
    return f"""\
<!-- made by `python -m scripts.reproduction` from reproduction_layers.json and discussion.md: change those -->
# HD-aware training: the paper's result

Li et al. (ASP-DAC 2021, arXiv 2002.05293) report, after layout, {PAPER_MEAN}x less datapath energy on average over
MobileNetV2's layers and up to {PAPER_BEST}x on single ones. Here the same two methods, reordering after training and
training for few bit flips, are applied to a MobileNetV2 for CIFAR-10, and every multiply-accumulate is simulated in the
gates of `{found.accelerator}`, before layout."""


def _summary_words(found: Reproduction) -> str:
    library = next(iter(found.cells))
    return (
        f"Energy is data energy (switching and internal), glitches included (inertial), with cells of `{library}`. "
        "Ratios are baseline over variant, with the baseline of the same bits and seed. The average over the layers is "
        "taken in two ways: the mean of the layers' ratios, unweighted (including depthwise ones, and of the dense "
        "ones alone), and the ratio of the network's totals. Accuracy is measured in ONNX Runtime on all test images. "
        "Flips are weight flips within passes, in one inference, as in all reports; between passes there are "
        f"{_seam_words(found)}."
    )


def _seam_words(found: Reproduction) -> str:
    first, *_, both = headline_variants(found)
    with_seams = (first.flips + first.seam_flips) / max(both.flips + both.seam_flips, 1)
    return (
        f"{first.seam_flips / 1e6:.3f} M more in the first row and {both.seam_flips / 1e6:.3f} M more in the fourth "
        f"({first.flips / max(both.flips, 1):.2f}x becomes {with_seams:.2f}x)"
    )


def _targets_words(found: Reproduction) -> str:
    lines, missed = [], 0
    for variant, wanted in targets(found):
        lines += [f"- {variant.bits} bits, seed {variant.seed}, {target.text}" for target in wanted]
        missed += sum(not target.reached for target in wanted)
    verdict = f"{missed} of {len(lines)} targets are missed." if missed else f"All {len(lines)} targets are reached."
    against = "For the variant *both*, in the measure of the summary, against the baseline as originally trained."
    return "\n".join([f"{against} {verdict}", "", *lines])


def _networks_words(found: Reproduction) -> str:
    units = "\n".join(f"- {text}" for text in dict.fromkeys(_unit_words(one) for one in found.networks))
    unknown = [f"`{one.name}`" for one in found.networks if one.run is None]
    alike = f"The networks of a pair were trained alike, from the same start, except for {_differences(found)}."
    if unknown:
        alike += f" There is no record of the training of {', '.join(unknown)}."
    return (
        f"{alike} Both run on the same units of `{found.accelerator}`, clocked at {found.clock_mhz:g} MHz:\n\n{units}"
    )


def _differences(found: Reproduction) -> str:
    """What a pair differs in, apart from what is the same for all."""
    terms = [one.run.config.hamming for one in found.networks if one.run and one.run.config.hamming]
    headroom = sorted({term.activation_headroom for term in terms if term.activation_headroom > 1})
    if not headroom:
        return "the HD term"
    by = " or ".join(f"{one:g}" for one in headroom)
    return (
        f"the HD term and the activation headroom of {by} that its section of the configuration includes: codes "
        f"of activations are smaller by that factor, whatever the weights, and fewer of their bits flip"
    )


def _unit_words(network: NetworkFigures) -> str:
    unit = next(iter(network.units.values()))
    weights, activations = (f"{word.bits} bits {word.format}" for word in (unit.weights, unit.activations))
    cells = ", ".join(f"{one.instances} cells of `{library}`" for library, one in network.units.items())
    return (
        f"{network.bits} bits: {unit.kind} of {unit.lanes} lanes, weights {weights}, activations {activations}, sums "
        f"{unit.accumulator_bits} bits, {cells}."
    )


def _layer_words(found: Reproduction) -> str:
    library = next(iter(found.cells))
    return (
        f"Baseline over variant, inertial data energy with cells of `{library}` unless stated otherwise; the last "
        "columns have the other measures of *both*."
    )


def _again_words(found: Reproduction) -> str:
    minutes = sum(one.seconds for one in found.networks) / 60
    return f"""\
```
make reproduce                                   # trains missing networks (hours), then computes all figures
python -m scripts.reproduction --no-train        # all figures of the kept networks, in minutes; needs no PyTorch
python -m scripts.reproduction --train           # trains all networks, including the kept ones
```

Schedules and energies of these {len(found.networks)} networks took {minutes:.0f} minutes. They are cached
(`FEWFLIPS_CACHE` names another folder), so a second run computes only what changed. For a single network:

```
fewflips optimize results/models/{found.networks[0].name}.onnx --mode schedule --accelerator {found.accelerator} \\
    --inputs src/fewflips/data/cifar10_samples.npz --energy --output out
```

{_sampling_words(found)}"""


def _sampling_words(found: Reproduction) -> str:
    operands = f"Energies are the mean of {found.samples} inferences."
    if found.share == 1:
        return f"{operands} Every cycle was simulated."
    return (
        f"{operands} For long layers a sample of {found.share:g} of the cycles was simulated with delays. 95 % "
        f"interval of a data energy: {_widest([v.total for v in found.variants]):.2f} % in total, "
        f"{_widest([layer.energies for v in found.variants for layer in v.layers]):.2f} % at most in a layer; of a "
        "ratio, at most the sum of the two."
    )


def _widest(energies: Sequence[dict[str, Energies]]) -> float:
    return max(one.ci95_percent for by_library in energies for one in by_library.values())
