"""Netlists of an arithmetic unit, and what the cache keeps of a synthesis."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.netlist.synthesis import synthesize, synthesize_verilog
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.netlist.yosys import Yosys
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.simulation.unit import build_unit

from ..kinds import Files, MutatedFiles
from ..mutation import raw
from .gates import LIBRARY, NETLIST, SPEF_WORDS, VERILOG_WORDS, text_changes, timed, yosys_json
from .records import json_changes

UNIT = Datapath("mac", Word(WordFormat.TWOS_COMPLEMENT, 2), Word(WordFormat.UNSIGNED, 2), 1, 8)
_VERILOG, _ZIPPED, _JSON, _SPEF = "netlist.v", "netlist.v.gz", "netlist.json", "wires.spef"


class Answering(Yosys):
    """A Yosys that answers with a text that is there already."""

    def run(self, script: str, files: Mapping[str, bytes], timeout_s: float = 1800) -> dict[str, bytes]:
        return {_JSON: self.answer}

    @classmethod
    def with_(cls, answer: bytes) -> Answering:
        made = cls("none", "Yosys 0.70", ("false",))
        object.__setattr__(made, "answer", answer)
        return made

    answer: bytes = b""


def unit(folder: Path) -> MutatedFiles:
    """`energy --netlist FILE --spef FILE`, but for Yosys' own work: what it answers is one of the files."""
    netlist = _small_unit()
    text, answer = netlist_verilog(netlist, LIBRARY).encode(), yosys_json(netlist)
    wire_ff = {net: 1.5 for net in range(2, len(netlist.nets))}
    wires = spef_text(netlist, LIBRARY, wire_ff, "fuzz").encode()
    plain: Files = {_VERILOG: text, _JSON: answer}
    zipped: Files = {_ZIPPED: gzip.compress(text, 1, mtime=0), _JSON: yosys_json(netlist, hidden=1)}
    verilog, spef = text_changes([text], VERILOG_WORDS), text_changes([wires], SPEF_WORDS)
    json_change = json_changes([answer, zipped[_JSON]]).change

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        used = json_change if name == _JSON else spef if name == _SPEF else verilog
        return used(chance, name, content)

    def entry(inputs: Path) -> None:
        path = next(path for path in (inputs / _VERILOG, inputs / _ZIPPED) if path.exists())
        spef_file = inputs / _SPEF if (inputs / _SPEF).exists() else None
        yosys = Answering.with_((inputs / _JSON).read_bytes())
        with patch("fewflips.gates.netlist.reader.find_yosys", lambda: yosys):
            build_unit(UNIT, LIBRARY, netlist=path, spef=spef_file)

    return MutatedFiles([plain, plain | {_SPEF: wires}, zipped], change, entry)


def _small_unit() -> Netlist:
    """Synthesized once and kept in the user's cache."""
    return synthesize(UNIT, LIBRARY)


def cached_netlist(folder: Path) -> MutatedFiles:
    """Damaged entries of the cache: the netlist is synthesized anew."""
    answer, text = yosys_json(NETLIST), netlist_verilog(NETLIST, LIBRARY)

    def synthesized(cache: Path) -> Netlist:
        with patch.dict(os.environ, FEWFLIPS_CACHE=str(cache)):
            return synthesize_verilog(text, NETLIST.name, LIBRARY, yosys=Answering.with_(answer))

    synthesized(folder)
    seed: Files = {f"synthesis/{path.name}": path.read_bytes() for path in (folder / "synthesis").iterdir()}

    def entry(inputs: Path) -> None:
        timed(synthesized(inputs), LIBRARY)

    return MutatedFiles([seed], lambda chance, name, content: raw.change(chance, content), entry)
