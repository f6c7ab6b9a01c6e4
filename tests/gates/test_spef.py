from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from pathlib import Path

import pytest

from fewflips.errors import ParasiticsError
from fewflips.gates.parasitics import spef
from fewflips.gates.parasitics.spef import read_spef

HEADER = """\
*SPEF "IEEE 1481-1999"
*DESIGN "column"
*DATE "today"
*VENDOR "someone"
*PROGRAM "extractor // 1"
*VERSION "1"
*DESIGN_FLOW "NAME_SCOPE LOCAL"
*DIVIDER /
*DELIMITER :
*BUS_DELIMITER []
*T_UNIT 1 NS
*C_UNIT 1 PF
*R_UNIT 1 OHM
*L_UNIT 1 HENRY
"""
OPENROAD = (
    HEADER
    + """
*NAME_MAP
*1 clk
*2 weights[3]
*3 weight_register\\[5\\]
*4 u1/n7
*5 _0123_

*PORTS
*1 I
*2 I

*D_NET *1 0.0125
*CONN
*P *1 I
*I *5:A I *D BUF_X1
*CAP
1 *1 0.002
2 *5:A 0.003
3 *1:2 *2:1 0.0005
*RES
1 *1 *5:A 12.5
*END

*D_NET *2 0.001 *V 3
*CONN
*P *2 I
*CAP
1 *2:1 *1:2 0.0005
2 *2 1e-3:2e-3:3e-3
*RES
*END

// a comment
*R_NET *3 0.004
*DRIVER *5:Q
*CELL DFF_X1
*C2_R1_C1 0.001 5 0.003
*LOADS
*RC *5:D 0.1
*END

*D_NET *4 0.007
*CONN
*END
"""
)


def write(folder: Path, text: str, name: str = "design.spef") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_of_openroad(tmp_path: Path) -> None:
    spef = read_spef(write(tmp_path, OPENROAD))
    assert spef.design == "column"
    # clk: 2 + 3 to ground and 0.5 to its neighbour; weights[3]: 0.5 and the typical 2; the others have totals alone.
    assert spef.net_ff == pytest.approx({"clk": 5.5, "weights[3]": 2.5, "weight_register[5]": 4.0, "u1/n7": 7.0})
    assert spef.net_pins == {"clk": {"_0123_:A"}}


def test_a_gzipped_file(tmp_path: Path) -> None:
    path = tmp_path / "design.spef.gz"
    path.write_bytes(gzip.compress(OPENROAD.encode()))
    assert read_spef(path).net_ff == read_spef(write(tmp_path, OPENROAD)).net_ff


def test_a_file_of_qflow(tmp_path: Path) -> None:
    text = """\
*SPEF "IEEE 1481.1999"
*DESIGN "mac"
*DIVIDER /
*DELIMITER :
*BUS_DELIMITER < >
*T_UNIT 1 PS
*C_UNIT 1 FF
*R_UNIT 1 OHM
*L_UNIT 1 HENRY
*NAME_MAP
*1 weights<2>
*2 _abc_1_
*PORTS
*1 I
*D_NET *1 12.5
*CONN
*P *1 I
*I *2:A I *L 4
*CAP
1 *1 7.25
2 *2:A 5.25
*RES
1 *1 *2:A 33
*END
*D_NET *2 3
*CONN
*CAP
*RES
*END
"""
    spef = read_spef(write(tmp_path, text))
    assert spef.net_ff == {"weights[2]": 12.5, "_abc_1_": 3.0}
    assert spef.net_pins == {"weights[2]": {"_abc_1_:A"}}
    other = text.replace("*DELIMITER :", "*DELIMITER |").replace("*2:A", "top<3>|A", 1)
    assert read_spef(write(tmp_path, other)).net_pins == {"weights[2]": {"top[3]:A"}}


@pytest.mark.parametrize(
    ("unit", "femtofarads"), [("1 FF", 2.0), ("1 PF", 2000.0), ("10 ff", 20.0), ("1e-3 PF", 2.0), ("1 NF", 2e6)]
)
def test_units_of_capacitance(tmp_path: Path, unit: str, femtofarads: float) -> None:
    text = f'*SPEF "x"\n*DESIGN "d"\n*C_UNIT {unit}\n*D_NET n1 2.0\n*END\n'
    assert read_spef(write(tmp_path, text)).net_ff == pytest.approx({"n1": femtofarads})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 0: expected a header with *DESIGN and *C_UNIT, got none"),
        ("module t;\n", "line 1: expected *SPEF at its start, got 'module t;'"),
        ('*SPEF "x"\n*DESIGN "d"\n', "line 2: expected a header with *DESIGN and *C_UNIT, got none"),
        (HEADER, "line 14: expected nets, got none; it is truncated, or was written before routing"),
        (OPENROAD[: OPENROAD.index("*RES")], "expected *END of net clk, got the file's end; it is truncated"),
        (OPENROAD[: OPENROAD.rindex("*END")], "expected *END of net u1/n7, got the file's end; it is truncated"),
        (OPENROAD.replace("*END", "", 1), "line 39: expected *END of net clk, got another *D_NET"),
        (
            OPENROAD.replace("1 PF", "1 OHM"),
            "line 12: expected a number and a unit such as PF after *C_UNIT, got '1 OHM'",
        ),
        (OPENROAD.replace("*C_UNIT 1 PF\n", ""), "line 26: expected *C_UNIT before the first net, got none"),
        (OPENROAD.replace("*1 clk\n", ""), "line 26: expected *1 in *NAME_MAP, got no such entry; it is damaged"),
        (OPENROAD.replace("*5 _0123_\n", ""), "line 29: expected *5 in *NAME_MAP, got no such entry; it is damaged"),
        (OPENROAD.replace("*1 clk\n", "*1\n"), "line 17: expected a name for *1, got none"),
        (OPENROAD.replace("*1 0.0125", "*1"), "line 27: expected a net and its capacitance after *D_NET, got '*1'"),
        (OPENROAD.replace("0.0125", "much"), "line 27: expected a capacitance, got 'much'"),
        (OPENROAD.replace("0.0125", "nan"), "line 27: expected a capacitance from 0 up, got 'nan'"),
        (OPENROAD.replace("0.0125", "-1"), "line 27: expected a capacitance from 0 up, got '-1'"),
        (OPENROAD.replace("1 *1 0.002", "1 *1"), "line 32: expected a number, a node and a capacitance, got '1 *1'"),
        (OPENROAD + "*END\n", "line 60: expected a net before *END, got none"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ParasiticsError) as caught:
        read_spef(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("; expected SPEF (IEEE 1481)")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParasiticsError) as caught:
        read_spef(tmp_path / "none.spef")
    assert str(caught.value) == f"cannot read {tmp_path}/none.spef: No such file or directory; expected a SPEF file"


@pytest.mark.parametrize("cut", [10, 60])
def test_a_truncated_gzip_file(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "design.spef.gz"
    path.write_bytes(gzip.compress(OPENROAD.encode())[:cut])
    with pytest.raises(ParasiticsError) as caught:
        read_spef(path)
    assert str(caught.value) == f"{path}: expected a whole gzip file, got a damaged one; write it again"


def test_a_line_without_an_end_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "design.spef.gz"
    path.write_bytes(gzip.compress(OPENROAD.encode() + bytes(100 << 20)))
    tracemalloc.start()
    with pytest.raises(ParasiticsError, match="expected lines of at most 1048576 bytes of SPEF, got a longer one"):
        read_spef(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_every_truncation_is_noticed_or_loses_whole_nets_alone(tmp_path: Path) -> None:
    whole = read_spef(write(tmp_path, OPENROAD)).net_ff
    for length in range(0, len(OPENROAD), 7):
        try:
            cut = read_spef(write(tmp_path, OPENROAD[:length])).net_ff
        except ParasiticsError:
            continue
        assert cut.items() <= whole.items()


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 16])
def test_lines_are_numbered_whatever_lies_between_them(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Runs of empty lines are passed over at once; the numbers are those that an editor shows."""
    monkeypatch.setattr(spef, "_CHUNK", chunk)
    generator = random.Random(0)
    pieces = (b"\n", b"\n\n\n", b" \t\n", b"*END\n", b"  a b ", b"\r\n", b"x", b"  ")
    for _ in range(60):
        text = b"".join(generator.choice(pieces) for _ in range(40))
        found = list(spef._statements(io.BytesIO(text), Path("wires.spef"), 1 << 20))
        lines = text.decode().split("\n")
        assert found == [(i + 1, line) for i, line in enumerate(lines) if line.strip()]
