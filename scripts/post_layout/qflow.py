"""qflow's own placement and routing steps, without a display."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fewflips.errors import ToolError

from .plain_names import PlainNames, blif

SCRIPTS = Path("/usr/lib/qflow/scripts")
TECHNOLOGY = Path("/usr/share/qflow/tech/osu018")
CELLS = TECHNOLOGY / "osu018_stdcells.lib"
LEF = TECHNOLOGY / "osu018_stdcells.lef"
MAGIC_SETUP = TECHNOLOGY / "osu018.magicrc"
NEEDED = {
    "qflow": SCRIPTS / "placement.sh",
    "qflow-tech-osu018": CELLS,
    "graywolf": Path("/usr/bin/graywolf"),
    "qrouter": Path("/usr/bin/qrouter"),
    "magic": Path("/usr/bin/magic"),
    "tcsh": Path("/usr/bin/tcsh"),
    "tcl": Path("/usr/bin/tclsh"),
}
"""A file of each Debian package that the flow runs."""

DENSITY = 0.8
"""Part of the rows that cells fill; the rest is filler, which leaves room to route."""


@dataclass(frozen=True)
class Project:
    """A qflow project folder.

    Parameters
    ----------
    folder : Path
        Absolute.
    design : str
        Name of the module.
    """

    folder: Path
    design: str

    @property
    def routed(self) -> Path:
        """The routed design."""
        return self.folder / "layout" / f"{self.design}.def"

    @property
    def router_estimate(self) -> Path:
        """The router's own resistances and capacitances."""
        return self.folder / "layout" / f"{self.design}.rc"


def check_tools() -> None:
    """See that every program of the flow is there.

    Raises
    ------
    ToolError
        If Debian packages are missing; the message names them.
    """
    missing = sorted(package for package, path in NEEDED.items() if not path.exists())
    if missing:
        packages = " ".join(missing)
        raise ToolError(f"place and route: not found: {packages}; as root: apt-get install -y {packages}")


def place_and_route(names: PlainNames, folder: Path) -> Project:
    """Place with graywolf and route with qrouter, in a fresh project folder.

    Both are deterministic: the same netlist gives the same layout.

    Parameters
    ----------
    names : PlainNames
        The mapped netlist.
    folder : Path
        Taken away first if it exists.

    Returns
    -------
    Project
        With its routed design.

    Raises
    ------
    ToolError
        If a step fails, or a net could not be routed.
    """
    project = Project(folder.resolve(), names.netlist.name)
    if any(character.isspace() for character in str(project.folder)):
        raise ToolError(f"{project.folder}: qflow takes no blanks in paths; give a --folder without")
    shutil.rmtree(project.folder, ignore_errors=True)
    _prepare(project, names)
    _run(project, "placement.sh", "-d", log="place.log")
    _run(project, "router.sh", log="route.log")
    if not project.router_estimate.exists() or (project.routed.parent / "failed.out").exists():
        raise ToolError(f"qrouter left nets of {project.design} unrouted; see {project.folder}/log/route.log")
    return project


def _prepare(project: Project, names: PlainNames) -> None:
    """What qflow's synthesis step would leave behind, made from a netlist that is mapped already."""
    folders = {name: project.folder / name for name in ("source", "synthesis", "layout", "log")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (folders["synthesis"] / f"{project.design}.blif").write_text(blif(names))
    for kind in ("rtl", "rtlnopwr", "rtlbb"):  # placement copies them aside, then writes them anew
        (folders["synthesis"] / f"{project.design}.{kind}.v").write_text("")
    (folders["log"] / "synth.log").write_text("mapped before\n")
    shutil.copy(TECHNOLOGY / "osu018.par", folders["layout"] / f"{project.design}.par")
    variables = {
        "projectpath": project.folder,
        "techdir": TECHNOLOGY,
        "techname": "osu018",
        "sourcedir": folders["source"],
        "synthdir": folders["synthesis"],
        "layoutdir": folders["layout"],
        "logdir": folders["log"],
        "scriptdir": SCRIPTS,
        "bindir": SCRIPTS.parent / "bin",
        "vddnet": "vdd",
        "gndnet": "gnd",
    }
    (project.folder / "qflow_vars.sh").write_text("".join(f"set {key}={value}\n" for key, value in variables.items()))
    (project.folder / "project_vars.sh").write_text(
        f"set initial_density = {DENSITY}\nset route_layers = 6\nset graywolf_options = -n\n"
    )


def _run(project: Project, script: str, *options: str, log: str) -> None:
    command = [str(SCRIPTS / script), *options, str(project.folder), project.design]
    result = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace")
    (project.folder / "log" / f"{script}.out").write_text(result.stdout + result.stderr)
    if result.returncode != 0:
        raise ToolError(f"qflow's {script} failed with status {result.returncode}; see {project.folder}/log/{log}")
