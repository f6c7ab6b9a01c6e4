"""What is said of the kinds of units, against their Verilog."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.kinds import UNIT_KINDS, Kind
from fewflips.datapath.verilog import verilog
from fewflips.errors import InputError
from fewflips.records.energy import DatapathRecord

BYTE = Word(WordFormat.TWOS_COMPLEMENT, 8)


def test_every_kind_is_described_once_and_has_a_record():
    assert tuple(UNIT_KINDS) == get_args(Kind) == get_args(DatapathRecord.model_fields["kind"].annotation)


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_ports_are_those_of_the_verilog(kind: Kind):
    traits = UNIT_KINDS[kind]
    datapath = Datapath(kind, BYTE, BYTE, lanes=3 if traits.many_lanes else 1, accumulator_bits=24)
    header = verilog(datapath).partition(");")[0]
    (output,) = re.findall(r"output .*\[(\d+):0\] (\w+)", header)
    assert output == (str(datapath.output_bits - 1), traits.output)
    assert ("input clk" in header) == traits.clocked
    assert ("input clear" in header) == traits.accumulates


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_what_a_kind_does_not_have_is_refused(kind: Kind):
    traits = UNIT_KINDS[kind]
    for has, options in (
        (traits.many_lanes, {"lanes": 2}),
        (traits.has_adder, {"adder": "one-sum"}),
        (traits.has_adder, {"product_registers": True}),
        (traits.has_adder, {"hold_flags": True}),
        (traits.takes_partial_sum, {"partial_sum_input": True}),
        (traits.has_adder, {"partial_sum_input": True, "tree_register": True}),
        (traits.has_adder, {"partial_sum_input": True, "offset_sums": True}),
        (traits.has_adder, {"adder": "bit-planes"}),
        (traits.has_adder, {"zero_gating": True}),
    ):
        if has:
            assert Datapath(kind, BYTE, BYTE, **options).kind == kind
        else:
            with pytest.raises(InputError, match=kind):
                Datapath(kind, BYTE, BYTE, **options)
