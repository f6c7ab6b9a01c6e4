"""Time of a training step with the HD term: `python -m benchmarks.training_step [--device cpu|cuda] [--width 0.5]`.

Protocol: quantization-aware training of a MobileNetV2 on random images, forward, backward and SGD step; once without
the HD term and once with each of its methods, for fewflips' own layers and, where Brevitas is installed, for its
convolutions and linear layers (weights only). The variants take turns, one step each, so that a machine that slows
down slows all of them; each is warmed up with two steps, in which kernels compile. Codes are assigned every third
and orders solved every sixth step, so that the three kinds of steps are seen equally well; their medians are
then weighed by the default intervals `every` and `reorder_every`: a step costs

    plain + (with an assignment - plain) / every + (with orders and assignment - with an assignment) / reorder_every

and the ratio is to the median step without the term. The width of `smoothed` changes at every step, as in training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.record import Row, add_json_option, write_record
from fewflips.training import HammingLoss, HammingOptions
from fewflips.training.networks import build_network
from fewflips.training.quantization.quantize import calibrate, quantize

BOUND = 1.2
ASSIGN_EVERY, REORDER_EVERY = 3, 6
STEPS = 48
WARM_UP = 2
ASSIGNING = ("assignment", "envelope")
METHODS = {
    "fewflips": ("assignment", "envelope", "smoothed", "bilinear"),
    "Brevitas": ("envelope", "smoothed", "bilinear"),
}


@dataclass
class Variant:
    """One network in training, and its times by kind of step."""

    library: str
    method: str | None
    step: Callable[[int], None] = field(repr=False)
    plain: list[float] = field(default_factory=list)
    assigning: list[float] = field(default_factory=list)
    reordering: list[float] = field(default_factory=list)

    def take(self, index: int, device: torch.device) -> None:
        """One step, timed."""
        begin = time.perf_counter()
        self.step(index)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begin
        if index < WARM_UP:
            return
        if self.method is not None and index % REORDER_EVERY == 0:
            self.reordering.append(seconds)
        elif self.method in ASSIGNING and index % ASSIGN_EVERY == 0:
            self.assigning.append(seconds)
        else:
            self.plain.append(seconds)

    def amortized(self) -> tuple[float, float, float, float]:
        """Seconds: plain step, what an assignment and orders take beside it, and the mean step at default intervals."""
        plain = statistics.median(self.plain)
        if self.method is None:
            return plain, 0.0, 0.0, plain
        with_codes = statistics.median(self.assigning or self.plain)
        assigning, reordering = with_codes - plain, statistics.median(self.reordering) - with_codes
        defaults = HammingOptions()
        return plain, assigning, reordering, plain + assigning / defaults.every + reordering / defaults.reorder_every


def own_network(width: float, images: Tensor) -> nn.Module:
    network = quantize(build_network("mobilenet_v2", width=width)).to(images.device)
    calibrate(network, [images])
    return network


def brevitas_network(width: float, images: Tensor) -> nn.Module:
    """The float network, its convolutions and linear layers replaced by those of Brevitas."""
    from brevitas.nn import QuantConv2d, QuantLinear
    from brevitas.quant import Int8WeightPerChannelFloat

    network = build_network("mobilenet_v2", width=width)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            layer: nn.Module = QuantConv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                stride=module.stride,
                padding=module.padding,
                groups=module.groups,
                bias=module.bias is not None,
                weight_quant=Int8WeightPerChannelFloat,
            )
        elif isinstance(module, nn.Linear):
            layer = QuantLinear(
                module.in_features, module.out_features, bias=True, weight_quant=Int8WeightPerChannelFloat
            )
        else:
            continue
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, layer)
    return network.to(images.device).train()


NETWORKS: dict[str, Callable[[float, Tensor], nn.Module]] = {"fewflips": own_network, "Brevitas": brevitas_network}


def variant(library: str, method: str | None, width: float, images: Tensor, labels: Tensor) -> Variant:
    """A network of its own, from the same seed."""
    torch.manual_seed(0)
    network = NETWORKS[library](width, images)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    term = None
    if method is not None:
        term = HammingLoss(network, "edge16", method=method, every=ASSIGN_EVERY, reorder_every=REORDER_EVERY)

    def step(index: int) -> None:
        if term is not None:
            term.advance(0.3 + 1e-4 * index)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        if term is not None:
            loss = loss + term
        loss.backward()
        optimizer.step()

    return Variant(library, method, step)


def print_table(console: Console, variants: Sequence[Variant]) -> None:
    """Milliseconds of each kind of step, and the ratio to the same library's step without the term."""
    table = Table(
        "layers", "HD term", "plain step ms", "+ assignment ms", "+ orders ms", "mean step ms", "ratio", "bound"
    )
    without: dict[str, float] = {}
    for one in variants:
        plain, assigning, reordering, mean = one.amortized()
        if one.method is None:
            without[one.library] = mean
        cells = [f"{1e3 * seconds:.1f}" for seconds in (plain, assigning, reordering, mean)]
        if one.method not in ASSIGNING:
            cells[1] = ""
        if one.method is None:
            cells[2] = ""
        ratio = mean / without[one.library]
        ends = ["", ""] if one.method is None else [f"{ratio:.3f}", f"{BOUND}"]
        table.add_row(one.library, one.method or "none", *cells, *ends)
    console.print(table)


def as_rows(variants: Sequence[Variant]) -> dict[str, Row]:
    """All variants as data; the kinds of steps that a variant has not are left out."""
    rows: dict[str, Row] = {}
    without: dict[str, float] = {}
    for one in variants:
        plain, assigning, reordering, mean = one.amortized()
        row: Row = {"layers": one.library, "method": one.method, "plain_ms": 1e3 * plain}
        if one.method in ASSIGNING:
            row["assignment_ms"] = 1e3 * assigning
        if one.method is None:
            without[one.library] = mean
        else:
            row["orders_ms"] = 1e3 * reordering
            row["ratio"] = mean / without[one.library]
        rows[f"{one.library}, {one.method or 'none'}"] = row | {"mean_ms": 1e3 * mean}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a training step with the HD term.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--width", type=float, default=0.5, help="width multiplier of MobileNetV2 (0.5)")
    parser.add_argument("--batch", type=int, default=128, help="images a step (128)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of each variant ({STEPS})")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads on the CPU")
    add_json_option(parser)
    arguments = parser.parse_args()
    if arguments.steps < WARM_UP + 2 * REORDER_EVERY:
        parser.error(
            f"--steps: expected {WARM_UP + 2 * REORDER_EVERY} or more, so that each kind of step is seen twice"
        )
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    generator = torch.Generator().manual_seed(0)
    images = (torch.randn(arguments.batch, 3, 32, 32, generator=generator) / 2).clamp_(-1, 1).to(device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(10, (arguments.batch,), generator=generator).to(device)
    libraries = [name for name in METHODS if name == "fewflips" or find_spec("brevitas") is not None]
    variants = [
        variant(library, method, arguments.width, images, labels)
        for library in libraries
        for method in (None, *METHODS[library])
    ]
    for index in range(arguments.steps):
        for one in variants:
            one.take(index, device)
    console = Console(width=120)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{arguments.threads} CPU thread(s)"
    console.print(f"MobileNetV2 {arguments.width:g}, batch {arguments.batch}, {arguments.steps} steps each, on {where}")
    print_table(console, variants)
    write_record(arguments.json, "training_step", as_rows(variants), seed=0)


if __name__ == "__main__":
    main()
