"""Tables of what steps of the optimization win, each from its record."""

from __future__ import annotations

from benchmarks.record import markdown_table, read_record

from .codesign import uj_text


def levers() -> str:
    """What lossless steps are worth, one after another, for each network and machine."""
    header = [
        "network, machine",
        "with",
        "flips",
        "data energy",
        "less",
        "orders",
        "datapath",
        "less",
        "whole bill",
        "less",
    ]
    rows = []
    for name, row in read_record("levers").rows.items():
        where, _, lever = name.rpartition(": ")
        natural = lever == "natural order"
        figures = {
            part: [uj_text(row[f"{part}_pj"]), f"{row.get(f'{part}_ratio', 1.0):.2f}x"]
            for part in ("data", "datapath", "whole")
        }
        orders = "" if natural else f"{row['natural_data_pj'] / row['data_pj']:.2f}x"
        cells = [*figures["data"], orders, *figures["datapath"], *figures["whole"]]
        rows.append([where if natural else "", lever, f"{row['flips_ratio']:.2f}x", *cells])
    return markdown_table(header, rows)


def rounding() -> str:
    """What an error budget is worth, for each network and machine."""
    header = ["network, machine", "weights", "fewer flips", "data energy", "less", "datapath", "whole bill", "SQNR"]
    rows = []
    for name, row in read_record("rounding").rows.items():
        where, _, label = name.rpartition(": ")
        ratios = [f"{row[f'{part}_ratio']:.2f}x" for part in ("data", "datapath", "whole")]
        error = ("no error" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f} dB") if "sqnr_db" in row else ""
        lost = f"{row['points_lost']:.2f} (±{row['standard_error_points']:.2f})" if "points_lost" in row else ""
        seconds = f"{row['processor_s']:.0f}" if "processor_s" in row else ""
        cells = [f"{row['flips_ratio']:.2f}x", uj_text(row["data_pj"]), *ratios, error, lost, seconds]
        rows.append([where if label == "natural order" else "", label, *cells])
    return markdown_table([*header, "points lost, test images", "processor s"], rows)


def energy_orders() -> str:
    """Orders by flips, by the cost of each bit, and by that of each step."""
    header = ["network", "machine", "weights", "natural order", "by flips", "by bits", "by steps"]
    header += ["bits win", "steps win", "above the bound", "interval"]
    rows = []
    for name, row in read_record("energy_orders").rows.items():
        network, machine, weights = name.rsplit(", ", 2)
        energies = [f"{row[f'{order}_uj']:.2f} µJ" for order in ("stored", "flips", "bits", "steps")]
        gains = [f"{row[f'{cost}_gain_percent']:.1f} %" for cost in ("bits", "steps")]
        cells = [f"{row['gap_percent']:.3f} %", f"±{row['ci95_percent']:.1f} %"]
        rows.append([network, f"`{machine}`", weights, *energies, *gains, *cells])
    return markdown_table(header, rows)


def sign_flags() -> str:
    """Schedules with and without signs, on columns without and with flags."""
    header = ["machine", "weights", "orders", "unit", "weight flips", "data", "with clock and leakage", "interval"]
    rows = []
    for name, row in read_record("signs").rows.items():
        _, machine, weights, orders, unit = name.split(", ", 4)
        cells = [f"{row['weight_mflips']:.1f} M", f"{row['data_uj']:.2f} µJ", f"{row['total_uj']:.2f} µJ"]
        cells += [f"±{row['ci95_percent']:.1f} %", f"{row['weight_buffer_uj']:.2f} µJ", f"{row['area_um2']:,.0f}"]
        gap = f"{row['above_bound_percent']:.1f} %" if "above_bound_percent" in row else ""
        rows.append([f"`{machine}`", weights, orders, unit, *cells, gap])
    return markdown_table([*header, "weight buffer", "unit um²", "above the bound, at most"], rows)


def channel_signs() -> str:
    """One sign for all words of a channel against one for each word."""
    orders = ("natural", "schedule", "a sign for each channel", "a sign for each word")
    rows = [
        [
            name,
            *(f"{row[f'{order}_mflips']:.2f} M" for order in orders),
            *(f"{row[f'{order}_fewer_percent']:.1f} %" for order in orders[2:]),
        ]
        for name, row in read_record("channel_signs").rows.items()
    ]
    header = ["layers of", "natural order", "schedule", "and a sign for each channel", "or for each word"]
    return markdown_table([*header, "fewer by channels", "fewer by words"], rows)


def scale_freedom() -> str:
    """Channels that could have other scales, and bits that are 1 in activations with other ranges."""
    weights = {
        "even output channels": "even_channels_percent",
        "output channels with a free bit": "channels_with_room_percent",
        "input channels with one": "inputs_with_room_percent",
        "flips of signs' copies there": "sign_copies_percent",
    }
    activations = {
        "ones less by zero points": "zero_points_fewer_percent",
        "and steps up to twice as large": "twice_fewer_percent",
        "up to eight times": "eight_times_fewer_percent",
    }
    fields = weights | activations
    rows = [
        [name, *(f"{row[field]:.2g} %" if field in row else "" for field in fields.values())]
        for name, row in read_record("scale_freedom").rows.items()
    ]
    return markdown_table(["network", *fields], rows)


def transformer_energy() -> str:
    """Orders of a transformer, in flips and in energy."""
    rows = []
    for name, row in read_record("transformer_energy").rows.items():
        where, _, order = name.rpartition(": ")
        natural = order == "natural order"
        figures = [f"{row['flips_ratio']:.2f}x", uj_text(row["data_pj"])]
        figures += [f"{row[f'{part}_ratio']:.2f}x" for part in ("data", "datapath", "whole")]
        seconds = f"{row['processor_s']:.0f}" if "processor_s" in row else ""
        rows.append([where if natural else "", order, *figures, f"±{row['ci95_percent']:.1f} %", seconds])
    header = ["weights, machine", "order", "fewer flips", "data energy", "less", "datapath", "whole bill", "interval"]
    return markdown_table([*header, "processor s"], rows)
