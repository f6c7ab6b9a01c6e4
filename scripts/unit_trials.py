"""Columns that were tried and did not pay, as changes of the Verilog and the integer arithmetic of the package.

Gates are compared with the changed arithmetic as everywhere else, before they are simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows.layer_operands import LayerOperands, segment_products
from fewflips.dataflows.segment import Segment
from fewflips.datapath.arithmetic import PortWords, products
from fewflips.datapath.design import Datapath
from fewflips.datapath.verilog import verilog
from fewflips.machine.accelerator import DatapathOptions

_SUM = 26
"""Width of the pair's sums."""
_MASK = (1 << _SUM) - 1
_TREE = 18
"""Width of the sum of four products of the pair, with its bias."""


@dataclass(frozen=True)
class Trial:
    """A changed column.

    Parameters
    ----------
    name : str
        In the table.
    options : DatapathOptions
        The unit that is changed.
    change : callable
        Takes and returns Verilog.
    replaced : mapping of str to callable
        Functions of the package that stand for others meanwhile.
    """

    name: str
    options: DatapathOptions
    change: Callable[[str], str]
    replaced: tuple[tuple[str, Callable[..., object]], ...] = ()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it lasts, units are made this way."""

        def changed(datapath: Datapath) -> str:
            return self.change(verilog(datapath))

        with ExitStack() as stack:
            for module in ("prepared", "synthesis"):
                stack.enter_context(patch(f"fewflips.gates.netlist.{module}.verilog", changed))
            for name, function in self.replaced:
                stack.enter_context(patch(f"fewflips.{name}", function))
            yield


def _replaced(text: str, before: str, after: str) -> str:
    assert before in text
    return text.replace(before, after)


def _adder(name: str, bits: int, first: str, second: str) -> str:
    """A ripple-carry adder, bit by bit."""
    return (
        f"    wire [{bits - 1}:0] {name}_a = {first}, {name}_b = {second};\n"
        f"    wire [{bits}:0] {name}_c;\n"
        f"    assign {name}_c = {{({name}_a & {name}_b) | (({name}_a ^ {name}_b) & {name}_c[{bits - 1}:0]), 1'b0}};\n"
        f"    wire [{bits - 1}:0] {name} = {name}_a ^ {name}_b ^ {name}_c[{bits - 1}:0];\n"
    )


def _pairs_of_products(text: str) -> str:
    """Products added two and two by ripple-carry adders in place of the synthesizer's tree."""
    begin, end = text.index("    wire [17:0] sum_of_products"), text.index("    reg [17:0] tree_register")
    terms = [f"{{1'b0, ~product_{lane}[15], product_{lane}[14:0]}}" for lane in range(4)]
    adders = _adder("low", 17, terms[0], terms[1]) + _adder("high", 17, terms[2], terms[3])
    adders += _adder("sum_of_products", _TREE, "{1'b0, low}", "{1'b0, high}")
    return text[:begin] + adders + text[end:]


def _carry_save(text: str) -> str:
    """Sums as two words, of ones and of carries, which are stored and come back as they are."""
    return _replaced(
        text,
        "    always @(posedge clk) sum <= tree_register + partial_sum_register;",
        f"""    wire [{_SUM - 1}:0] tree = {{{_SUM - _TREE}'d0, tree_register}};
    wire [{_SUM - 1}:0] ones = partial_sum_register[{_SUM - 1}:0];
    wire [{_SUM - 1}:0] carries = partial_sum_register[{2 * _SUM - 1}:{_SUM}];
    wire [{_SUM - 1}:0] carry = (ones & carries) | (ones & tree) | (carries & tree);
    always @(posedge clk) sum <= {{carry[{_SUM - 2}:0], 1'b0, ones ^ carries ^ tree}};""",
    )


def _added(
    ones: NDArray[np.int64], carries: NDArray[np.int64], tree: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What a row of full adders makes of two words and the tree's."""
    carry = (ones & carries) | (ones & tree) | (carries & tree)
    return (ones ^ carries ^ tree) & _MASK, (carry << 1) & _MASK


def _carry_save_sums(
    operands: LayerOperands, segments: tuple[Segment, ...], pixels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Both words of the sum of the segments before, for each pixel and cycle."""
    datapath, rows = operands.datapath, slice(int(pixels[0]), int(pixels[-1]) + 1)
    ones = np.full((len(pixels), operands.layer.n), datapath.sum_offset(0) & _MASK, dtype=np.int64)
    carries, before = np.zeros_like(ones), []
    for segment in segments:
        order = segment.order
        before.append(ones[:, order] | (carries[:, order] << _SUM))
        tree = (segment_products(operands, segment, rows) + datapath.tree_bias).astype(np.int64) & _MASK
        ones[:, order], carries[:, order] = _added(ones[:, order], carries[:, order], tree)
    return np.concatenate(before, axis=1).reshape(-1, 1)


def _carry_save_outputs(datapath: Datapath, operands: PortWords) -> NDArray[np.uint64]:
    """Both words in each cycle."""
    assert operands.partial_sums is not None
    tree = (products(datapath, operands.weights, operands.activations).sum(axis=1) + datapath.tree_bias) & _MASK
    given = np.roll(operands.partial_sums.astype(np.int64), -datapath.partial_sum_delay)
    ones, carries = _added(given & _MASK, given >> _SUM, tree)
    outputs = np.zeros(operands.cycles, dtype=np.uint64)
    outputs[datapath.latency :] = (ones | (carries << _SUM))[: operands.cycles - datapath.latency]
    return outputs


_BEHIND = {"tree_register": True, "offset_sums": True}
TRIALS = (
    Trial("products added in pairs", DatapathOptions(**_BEHIND), _pairs_of_products),
    Trial(
        "bit planes, carry-save sums of two words",
        DatapathOptions(adder="bit-planes", accumulator_bits=2 * _SUM, **_BEHIND),
        _carry_save,
        (
            ("dataflows.activation_stationary.unit_work._partial_sums", _carry_save_sums),
            ("simulation.function_check.expected_outputs", _carry_save_outputs),
        ),
    ),
)
