"""Tables of the README and of docs, each from its records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.record import Row, markdown_table, read_record
from scripts.post_layout.record import read_record as read_post_layout
from scripts.post_layout.table import figures_text

from .calibration import built_in_table, commands_text, shown_text
from .codesign import all_machines, best_machines, bills, narrow_columns
from .facts import reproduction_rows
from .mutation import MODULES, score_table, survivors_table
from .origin import DELAYS, PJ_PER_UJ
from .step_tables import channel_signs, energy_orders, levers, rounding, scale_freedom, sign_flags, transformer_energy


def networks() -> str:
    """Reductions on whole networks."""
    header = ["model", "layers", "MMACs", "schedule", "bound", "proven", "drop-in", "drop-in check"]
    header += ["activations, schedule", "activations, drop-in", "index table KiB", "seconds"]
    return markdown_table(
        header,
        [
            [
                name,
                f"{row['layers']}",
                f"{row['macs'] / 1e6:.1f}",
                f"{row['schedule_reduction']:.3f}x",
                _factor(row, "bound_reduction", "-"),
                f"{row['proven_segments']}/{row['segments']}",
                f"{row['drop_in_reduction']:.3f}x",
                "bit-exact" if row["drop_in_bit_exact"] else "see report",
                _factor(row, "schedule_activation_reduction", "not measured"),
                _factor(row, "drop_in_activation_reduction", "not measured"),
                f"{row['index_table_bits'] / 8192:.1f}",
                f"{row['wall_s']:.1f}",
            ]
            for name, row in read_record("networks").rows.items()
        ],
    )


def ordering() -> str:
    """Orders of segments against other solvers and the bound."""
    own, proving = read_record("ordering"), read_record("ordering_prove")
    rows = [
        _solver(name, row)
        for name, row in read_record("ordering_baselines").rows.items()
        if not name.startswith(("fewflips", "bound"))
    ]
    rows.append(_solver("fewflips, default", own.rows["fewflips, default"]))
    rows.append(["bound, default", f"{own.rows['bound']['flips']:,}", "", "", "", ""])
    rows.append(_solver("fewflips, `--prove`", proving.rows["fewflips, --prove"]))
    rows.append(["bound, `--prove`", f"{proving.rows['bound']['flips']:,}", "", "", "", ""])
    return markdown_table(["method", "flips", "above the bound", "proven", "wall s", "processor s"], rows)


def _solver(name: str, row: Row) -> list[str]:
    return [
        name,
        f"{row['flips']:,}",
        f"{row['above_bound_percent']:.4f} %",
        f"{row['proven']} / {row['segments']}",
        f"{row['wall_seconds']:.1f}",
        f"{row['cpu_seconds']:.1f}",
    ]


def optimized_energy() -> str:
    """Energy of a network before and after ordering."""
    record, rows = read_record("optimized_energy"), []
    for delays, words in (("zero_delay", "zero"), ("inertial", "inertial: glitches included")):
        for figure, what in (("data_pj", "data: switching and internal"), ("total_pj", "with clock and leakage")):
            row = record.rows[f"{delays}, {figure}"]
            before, scheduled, dropped = (row[f"{order}_pj"] for order in ("baseline", "schedule", "drop_in"))
            rows.append(
                [
                    words,
                    what,
                    microjoules(before),
                    microjoules(scheduled),
                    f"{before / scheduled:.2f}x",
                    microjoules(dropped),
                    f"{before / dropped:.2f}x",
                ]
            )
    return markdown_table(["delays", "energy", "before", "schedule", "less", "drop-in", "less"], rows)


def pairs() -> str:
    """The result's pairs of 8 bits, one a row."""
    found = {(row["seed"], row["variant"]): row for row in reproduction_rows() if row["bits"] == 8}
    rows = []
    for seed in sorted({seed for seed, _ in found}):
        baseline, trained = found[seed, "baseline"], found[seed, "both"]
        rows.append(
            [
                f"{seed}",
                f"{baseline['accuracy_percent']:.2f} %",
                f"{trained['accuracy_percent']:.2f} %",
                f"{trained['mean_layer_ratio']:.2f}x",
                f"{trained['network_ratio']:.2f}x",
                f"{trained['best_layer_ratio']:.2f}x",
            ]
        )
    return markdown_table(["seed", "accuracy, baseline", "HD-trained", "mean of layers", "network", "best layer"], rows)


def energy() -> str:
    """Time and memory of simulating a whole network."""
    record = read_record("energy")
    names = {"zero-delay": "zero", "inertial": "inertial, 10 ps"}
    rows = []
    for mode, words in names.items():
        row = record.rows[mode]
        cells = [f"{row['median_s']:.1f}", f"{row['bound_s']:g}", f"{row['macs_per_s'] / 1e6:.1f}"]
        rows.append([words, *cells, f"{row['peak_mib']:.0f}", f"{row['bound_mib']}"])
    row = record.rows["fewflips energy"]
    whole = "both: `fewflips energy`, the whole command"
    rows.append([whole, f"{row['median_s']:.1f}", "", "", f"{row['peak_mib']:.0f}", f"{row['bound_mib']}"])
    return markdown_table(["delays", "seconds", "bound", "MMAC/s", "peak MiB", "bound"], rows)


def gates() -> str:
    """Switching simulators on the same stream."""
    record = read_record("gates")
    own = {row["delays"]: row["macs_per_s"] for row in record.rows.values() if row["simulator"] == "fewflips"}
    names = {
        "the same, single assignments": "the same, cells as single assignments",
        "Verilator --coverage-toggle": "Verilator `--coverage-toggle`",
        "Verilator --trace": "Verilator `--trace`",
    }
    rows = []
    for row in record.rows.values():
        bound = row["bound_macs_per_s"]
        rows.append(
            [
                names.get(row["simulator"], row["simulator"]),
                "zero" if row["delays"] == "zero delay" else row["delays"],
                f"{row['macs_per_s'] / 1e6:.4g}",
                "" if bound is None else f"{bound / 1e6:.0f}",
                "" if bound is not None else f"{own[row['delays']] / row['macs_per_s']:,.0f}x",
            ]
        )
    return markdown_table(["simulator", "delays", "MMAC/s", "bound", "fewflips is faster by"], rows)


def commands() -> str:
    """Counting kernels and whole commands."""
    counting, record = read_record("counting"), read_record("command")
    stream = {name.removeprefix("stream flips, "): row for name, row in counting.rows.items() if "gb_per_s" in row}
    pairwise = {name.removeprefix("pairwise distances, "): row for name, row in counting.rows.items()}
    rows = [
        [
            "stream flips, 4096 x 4096 int8, one core",
            f"{stream['fewflips stream_flips']['gb_per_s']:.1f} GB/s",
            f"NumPy {stream['NumPy bitwise_count']['gb_per_s']:.1f} GB/s",
            ">= 5 GB/s",
        ],
        [
            "pairwise distances, 1280 vectors of 1280 bytes, one core",
            f"{pairwise['fewflips pairwise_distances']['median_ms']:.1f} ms",
            f"float32 BLAS {pairwise['float32 BLAS']['median_ms']:.1f} ms, "
            f"NumPy {pairwise['NumPy bitwise_count']['median_ms']:.1f} ms",
            "BLAS",
        ],
    ]
    for name, row in record.rows.items():
        limited = row["bound_mib"] is not None
        taken, bound = f"{row['median_s']:.2f} s", f"{row['bound_s']:g} s"
        if limited:
            taken, bound = f"{taken}, {row['peak_mib']:.0f} MiB", f"{bound}, {row['bound_mib']} MiB"
        rows.append([f"`{name}`", taken, "", bound])
    return markdown_table(["what", "fewflips", "alternatives", "bound"], rows)


def training_step() -> str:
    """A training step with each method of the HD term and without it."""
    rows = []
    for row in read_record("training_step").rows.values():
        rows.append(
            [
                row["layers"],
                "none" if row["method"] is None else f"`{row['method']}`",
                f"{row['plain_ms']:.0f}",
                _milliseconds(row, "assignment_ms"),
                _milliseconds(row, "orders_ms"),
                f"{row['mean_ms']:.0f}",
                f"{row['ratio']:.3f}x" if "ratio" in row else "",
            ]
        )
    header = ["layers", "HD term", "step ms", "+ an assignment (every 15 steps)", "+ orders (every 200)"]
    return markdown_table([*header, "mean step ms", "ratio"], rows)


def cell_libraries() -> str:
    """Built-in cells against the whole libraries."""
    rows = []
    for name, row in read_record("cell_libraries").rows.items():
        figures = [
            f"{energy_words(row[f'{delays}_data_pj'])} / {energy_words(row[f'{delays}_total_pj'])}"
            for delays in ("zero_delay", "inertial")
        ]
        built_in = f"`{name}`" if "." in name else f"`{name}` (built in)"
        rows.append([built_in, f"{row['unit_cells']}", *figures, f"{row['glitch_factor']:.2f}x"])
    header = ["cells", "cells of a unit", "zero delay, data / with clock", "inertial, data / with clock"]
    return markdown_table([*header, "glitch factor"], rows)


def gating() -> str:
    """What options of the ports change in the units."""
    found, rows = read_record("gating").rows, []
    for name, row in found.items():
        machine, network, order, variant = name.split(", ", 3)
        if variant == "fetches":
            continue
        plain = found[f"{machine}, {network}, {order}, plain"]
        data, total = (100 * (float(row[one] or 0) / float(plain[one] or 0) - 1) for one in ("data_uj", "total_uj"))
        cells = [f"{row['data_uj']:.2f} µJ", f"{data:+.1f} %", f"{row['total_uj']:.2f} µJ", f"{total:+.1f} %"]
        more = [f"{row['area_um2']:.0f} µm²", f"{row['critical_path_ns']:.2f} ns"]
        rows.append([f"`{machine}`", f"{network}, {order}", variant, *cells, *more])
    header = ["machine", "network, order", "option", "data", "", "total", "", "area of a unit", "critical path"]
    return markdown_table(header, rows)


def hold_flags() -> str:
    """What hold flags save at the weight buffer."""
    rows = []
    for name, row in read_record("gating").rows.items():
        machine, network, order, variant = name.split(", ", 3)
        if variant != "fetches":
            continue
        plain, held = float(row["plain_mbit"] or 0), float(row["held_mbit"] or 0)
        cells = [f"{row['held_percent']:.1f} %", f"{plain:.2f}", f"{held:.2f}", f"{100 * (1 - held / plain):.1f} %"]
        flips = [f"{row['plain_mflips']:.2f}", f"{row['bus_invert_mflips']:.2f}"]
        rows.append([f"`{machine}`", f"{network}, {order}", *cells, *flips, f"{row['flag_entropy_bits']:.2f} bits"])
    header = ["machine", "network, order", "words that repeat", "Mbit read", "with flags", "fewer"]
    return markdown_table([*header, "Mflips", "bus-invert", "entropy of a flag"], rows)


def activation_scans() -> str:
    """Scans of output pixels past held weights."""
    found, rows = read_record("activation_scans").rows, []
    plain = found["scan, tpu16, raster, forward replay"]
    for name, row in found.items():
        if name.endswith("shortest paths"):
            continue
        scan, kind = name.removeprefix("scan, tpu16, ").rsplit(", ", 1)
        factors = [float(plain[one] or 0) / float(row[one] or 1) for one in ("first_mflips", "other_mflips")]
        flips = [f"{row['other_mflips']:.2f} M", f"{factors[1]:.4f}x", f"{factors[0]:.4f}x"]
        rows.append([scan, kind.removesuffix(" replay"), *flips])
    return markdown_table(["scan", "replay", "activation flips", "fewer", "fewer, first photo"], rows)


def shortest_scans() -> str:
    """What no scan of small layers can exceed."""
    row = read_record("activation_scans").rows["scan, tpu16, shortest paths"]
    labels = {"raster": "raster", "serpentine": "serpentine", "path": "path through the photo's own pixels"}
    raster = float(row["raster_mflips"] or 0)
    rows = [
        [label, f"{row[f'{name}_mflips']:.2f} M", f"{raster / float(row[f'{name}_mflips'] or 1):.4f}x"]
        for name, label in (labels | {"bound": "lower bound of any order"}).items()
    ]
    return markdown_table(["order of the pixels", "activation flips", "fewer"], rows)


def serpentine_replay() -> str:
    """Serpentine replay on each machine."""
    rows = []
    for name, row in read_record("serpentine_replay").rows.items():
        _, machine, kind = name.split(", ")
        flips = [f"{row[f'{port}_mflips']:.3f} M" for port in ("weights", "weight_seams", "activations")]
        rows.append([f"`{machine}`", kind, *flips, f"{row['data_uj']:.2f} µJ (±{row['ci95_percent']:.1f} %)"])
    header = ["machine", "replay", "weight flips", "of these seams", "activation flips", "data, with glitches"]
    return markdown_table(header, rows)


def column_options() -> str:
    """What options of a machine add to a scheduled column."""
    header = ["network", "options", "weights fetched", "words negated", "weights KiB", "flags KiB"]
    header += ["unit um²", "encoders um²", "controller um²", "critical path ps"]
    rows = [
        [
            f"{row['network']}",
            f"{row['options']}",
            f"{row['fetched_percent']:.0f} %",
            f"{row['negated_percent']:.0f} %",
            f"{row['weight_bits'] / 8192:.2f}",
            f"{row['flag_bits'] / 8192:.2f}",
            f"{row['unit_um2']:,.0f}",
            f"{row['encoders_um2']:,.0f}",
            f"{row['control_um2']:,.0f}",
            f"{row['critical_path_ps']:,.0f}",
        ]
        for row in read_record("column_options").rows.values()
    ]
    return markdown_table(header, rows)


def joint_orders() -> str:
    """Orders by both operands."""
    rows, found = [], read_record("joint_orders").rows
    for name, row in found.items():
        _, model, machine, order = name.split(", ", 3)
        natural = found[f"joint, {model}, {machine}, natural"]
        flips, joules = (float(natural[one] or 0) / float(row[one] or 1) for one in ("other_mflips", "data_uj"))
        chosen = f"{row['before_to_after']:.3f}x" if "before_to_after" in row else ""
        gap = f"{row['above_bound_percent']:.2f} %" if "above_bound_percent" in row else ""
        energy = f"{row['data_uj']:.2f} µJ (±{row['ci95_percent']:.1f} %)"
        cells = [f"{row['other_mflips']:.1f} M", f"{flips:.3f}x", chosen, gap, energy, f"{joules:.3f}x"]
        rows.append([f"`{model}`", f"`{machine}`", order, *cells])
    header = ["network", "machine", "orders", "flips at multipliers", "fewer", "on its own photos, to by weights"]
    return markdown_table([*header, "above the bound, at most", "data, with glitches", "less"], rows)


def code_books() -> str:
    """Weights in other codes, with decoders in the column."""
    rows = []
    for name, row in read_record("code_books").rows.items():
        machine, network, order, code = name.split(", ")
        cells = [f"{row['weight_mflips']:.2f}", f"{row['data_uj']:.2f} µJ", f"{row['more_percent']:+.1f} %"]
        rows.append([f"`{machine}`", f"{network}, {order}", code, *cells])
    return markdown_table(["machine", "network, order", "code", "Mflips of weights", "data energy", ""], rows)


def units() -> str:
    """What each choice of a column's unit costs and wins."""
    rows = []
    for name, row in read_record("units").rows.items():
        energies = [
            f"{row[f'{of} data_pj'] / PJ_PER_UJ:.2f} / {row[f'{of} total_pj'] / PJ_PER_UJ:.2f}"
            for of in ("baseline natural", "baseline scheduled", "HD-trained scheduled")
        ]
        ratios = [f"{row[f'{of}_ratio']:.2f}x" for of in ("network", "mean_layer", "best_layer")]
        known = name == "plain" or name.startswith("trial: ")
        figures = [f"{row['area_um2']:.0f}", f"{row['critical_path_ps'] / 1000:.2f}", *energies, ", ".join(ratios)]
        rows.append([name if known else f"`{name}`", *figures])
    header = ["`datapath:`", "area µm²", "critical path ns", "baseline, natural µJ", "baseline, scheduled µJ"]
    return markdown_table([*header, "HD-trained, scheduled µJ", "against the plain baseline"], rows)


def word_costs() -> str:
    """Energy of moved codes by the cost of a one."""
    rows = []
    for row in read_record("word_costs").rows.values():
        cost = row["cost_of_a_one_flips"]
        default = " (default)" if cost == 0.8 else ""
        ratios = [f"{row[name]:.2f}x" for name in ("flip_ratio", "network_ratio", "mean_layer_ratio")]
        rows.append([f"{cost:g}{default}", *ratios])
    return markdown_table(
        ["cost of a one, in flips", "fewer weight flips", "less data energy", "mean of the layers"], rows
    )


def lane_clusters() -> str:
    """Flips of arrangements of the input channels, on 4 and on 16 lanes."""
    narrow, wide = (read_record(name).rows for name in ("lane_clusters", "lane_clusters_16"))
    names = {
        "baseline": "baseline",
        "HD-trained": "trained with the HD term (for 4 lanes)",
        "baseline, 4 bits": "baseline, 4 bits",
        "HD-trained, 4 bits": "trained with the HD term, 4 bits",
    }
    kinds = {"natural": "as stored", "random": "random", "by likeness": "by likeness", "searched": "searched"}
    rows = []
    for network, network_words in names.items():
        for kind, kind_words in kinds.items():
            found = [record[f"{network}, {kind}"] for record in (narrow, wide)]
            if kind == "natural":
                cells = [f"{row['flips'] / 1e6:.3f} M" for row in found]
            else:
                cells = [f"{row['of_natural']:.3f} of that" for row in found]
            rows.append([network_words, kind_words, *cells])
    return markdown_table(["network", "channels", "4 lanes", "16 lanes"], rows)


def partial_sums() -> str:
    """Orders that see partial sums, layer by layer."""
    rows = []
    for name, row in read_record("partial_sums").rows.items():
        energy = row["energy_data_pj"]
        less = [f"{energy / row[f'{label}_data_pj']:.3f}x" for label in ("sums", "activity", "both")]
        flips = [f"{row[f'{label}_sum_flips']:.1f}" for label in ("natural", "energy", "sums", "least")]
        incoming = 1 - row["step_fj_with_sums_still"] / row["step_fj"]
        most = incoming * (1 - row["least_sum_flips"] / row["energy_sum_flips"])
        cells = [*less, *flips, f"{100 * incoming:.1f} %", f"{100 * most:.1f} %"]
        rows.append([*name.split(": "), f"{row['natural_data_pj'] / energy:.3f}x", *cells])
    header = ["network", "layer", "by energy", "and sums", "by activity", "and sums", "flips, natural", "by energy"]
    return markdown_table([*header, "and sums", "least", "incoming sums", "at most"], rows)


def memories() -> str:
    """What the built-in machines' memories take for the bundled network."""
    kinds = ("weights", "activations", "results", "partial_sums", "index_table")
    rows = []
    for name, row in read_record("memories").rows.items():
        machine, order = name.split(", ")
        if order not in ("natural", "scheduled"):
            continue
        bits = [f"{row[f'{kind}_bits'] / 1e6:.2f}" for kind in kinds]
        energies = [f"{row[field] / PJ_PER_UJ:.2f}" for field in ("smallest_memory_pj", "total_pj")]
        rows.append([f"`{machine}`", order, *bits, *energies])
    header = ["machine", "order", "weights, Mbit", "activations", "results", "partial sums", "index table"]
    return markdown_table([*header, "all bits in 8 KB memories, µJ", "its own buffers, µJ"], rows)


def memory_sources() -> str:
    """Figures of single memories in the built-in table and in CACTI."""
    rows = []
    for name, row in read_record("memory_sources").rows.items():
        if "table_pj" in row:
            energies = [f"{row[field]:.2f}" for field in ("table_pj", "read_pj", "write_pj")]
            rows.append([name, *energies, f"{row['leakage_uw']:.2f}"])
    return markdown_table(["memory", "table, pJ", "CACTI: read, pJ", "write, pJ", "leakage, µW"], rows)


def memory_bills() -> str:
    """The built-in machines' memories with the figures of either source."""
    fields = ("table_total_pj", "cacti_total_pj", "cacti_leakage_pj")
    rows = [
        [f"`{name}`", *(f"{row[field] / PJ_PER_UJ:.2f}" for field in fields)]
        for name, row in read_record("memory_sources").rows.items()
        if fields[0] in row
    ]
    return markdown_table(["machine", "table, µJ", "CACTI, µJ", "of which leakage, µJ"], rows)


def tiles(record: str) -> str:
    """Flips and memories of one machine by the size of its tiles."""
    names = {"baseline": "baseline", "HD-trained": "trained with the HD term"}
    rows = []
    for network, words in names.items():
        found = read_record(record).rows
        untiled = found[f"{network}, all"]
        for name, row in found.items():
            if not name.startswith(network):
                continue
            scheduled = f"{row['scheduled_weight_flips'] / 1e6:.1f} M"
            more = row["scheduled_weight_flips"] / untiled["scheduled_weight_flips"]
            kept = row["outputs"] is not None
            sums = f"{(row['register_files_pj'] if kept else row['partial_sums_pj']) / PJ_PER_UJ:.2f} µJ"
            leakage = f" + {row['register_files_leakage_pj'] / PJ_PER_UJ:.2f}" if kept else ""
            rows.append(
                [
                    words,
                    f"{row['outputs']}" if kept else "all, no tiles",
                    f"{row['natural_weight_flips'] / 1e6:.1f} M",
                    f"{scheduled} ({more:.2f}x)",
                    f"{row['scheduled_activation_flips'] / 1e6:.1f} M",
                    f"{sums}{leakage}",
                    f"±{row['worst_ci95_percent']:.1f} %" if kept else "-",
                    f"{row['memories_pj'] / PJ_PER_UJ:.1f} µJ",
                    f"{row['file_area_um2']:,.0f}" if kept else "-",
                ]
            )
    header = ["network", "tile", "weight flips, natural", "scheduled (to untiled)", "activation flips"]
    header += ["partial sums + leakage", "a layer's, at most", "all memories", "file of a column, µm²"]
    return markdown_table(header, rows)


def training_methods() -> str:
    """Methods of the HD term on the same budget."""
    rows = []
    for row in read_record("training_methods").rows.values():
        method = row["method"] if row["method"] == "none" else f"`{row['method']}`"
        cells = [f"{row['strength']:g}", f"{row['accuracy_percent']:.2f} %", f"{row['ordered_nhd']:.3f}"]
        rows.append([method, *cells, f"{row['training_s']:.0f}"])
    return markdown_table(["method", "strength", "test accuracy", "ordered NHD", "seconds"], rows)


def calibration_transfer() -> str:
    """Estimates of networks that the calibration was not made with."""
    rows = []
    for name, row in read_record("calibration_transfer").rows.items():
        cells = [
            " / ".join(format(row[f"{delays}_{measure}_error_percent"], form) for delays in DELAYS)
            for measure, form in (("median", ".1f"), ("worst", ".0f"), ("total", "+.0f"))
        ]
        rows.append([name, *cells])
    return markdown_table(["network", "median error of a layer, %", "worst, %", "total, %"], rows)


def post_layout() -> str:
    """Energies before and after layout."""
    record = read_post_layout()
    return figures_text(record.layout, record.comparisons())


def microjoules(energy_pj: float) -> str:
    """An energy as the README's tables have it."""
    return f"{energy_pj / PJ_PER_UJ:.0f} µJ"


def energy_words(energy_pj: float) -> str:
    """Three digits, in microjoules or millijoules."""
    if energy_pj < 1e9:
        return f"{energy_pj / PJ_PER_UJ:.0f} µJ"
    return f"{energy_pj / 1e9:.2f} mJ"


def _factor(row: Row, field: str, otherwise: str) -> str:
    value = row[field]
    return otherwise if value is None else f"{value:.3f}x"


def scheduled_column() -> str:
    """Layers on a scheduled column, in Icarus Verilog and after synthesis."""
    header = ["layer", "machine", "columns", "results", "cycles", "waits", "index table KiB"]
    header += ["unit um²", "controller um²", "its share of the logic", "critical path ps"]
    rows = [
        [
            f"{name.partition(', ')[0]}, {row['layer']}",
            f"`{row['machine']}`",
            f"{row['columns']}",
            f"{row['results']:,}",
            f"{row['cycles']:,}",
            f"{row['waits']:,} ({row['waits_percent']:.2f} %)",
            f"{row['index_table_bits'] / 8192:.2f}",
            f"{row['unit_um2']:,.0f}",
            f"{row['control_um2']:,.0f}",
            f"{row['control_percent']:.1f} %",
            f"{row['critical_path_ps']:,.0f}",
        ]
        for name, row in read_record("scheduled_column").rows.items()
    ]
    return markdown_table(header, rows)


def _milliseconds(row: Row, field: str) -> str:
    return f"{row[field]:.0f}" if field in row else ""


TABLES: dict[str, Callable[[], str]] = {
    "networks": networks,
    "ordering": ordering,
    "optimized energy": optimized_energy,
    "pairs": pairs,
    "energy": energy,
    "gates": gates,
    "commands": commands,
    "training step": training_step,
    "cell libraries": cell_libraries,
    "gating": gating,
    "hold flags": hold_flags,
    "activation scans": activation_scans,
    "shortest scans": shortest_scans,
    "serpentine replay": serpentine_replay,
    "joint orders": joint_orders,
    "code books": code_books,
    "scheduled column": scheduled_column,
    "energy orders": energy_orders,
    "sign flags": sign_flags,
    "channel signs": channel_signs,
    "scale freedom": scale_freedom,
    "transformer energy": transformer_energy,
    "column options": column_options,
    "units": units,
    "word costs": word_costs,
    "lane clusters": lane_clusters,
    "partial sums": partial_sums,
    "memories": memories,
    "memory sources": memory_sources,
    "memory bills": memory_bills,
    "tiles edge4": partial(tiles, "tiling"),
    "tiles edge16": partial(tiles, "tiling_16"),
    "training methods": training_methods,
    "calibration": shown_text,
    "calibration commands": commands_text,
    "built-in calibrations": built_in_table,
    "calibration transfer": calibration_transfer,
    "mutation scores": score_table,
    **{f"survivors {module.replace('/', ' ')}": partial(survivors_table, module) for module in MODULES},
    "post-layout": post_layout,
    "levers": levers,
    "rounding": rounding,
    "codesign": best_machines,
    "codesign machines": all_machines,
    "codesign bills": bills,
    "codesign narrow columns": narrow_columns,
}
"""By the name in a page's marks."""
