"""PrusaSlicer's own opinion of a mesh, when it is installed.

Its exit code says nothing about the mesh: an open surface ends with 0. The text it prints and the comments of the
G-code are read instead. The model is never moved with ``--center``, which puts parts beside the bed without a word.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from comould.errors import InputError, PrintabilityError

if TYPE_CHECKING:
    import trimesh

PROGRAM = "prusa-slicer"
_INSTALL = f"Install PrusaSlicer (Debian: apt install {PROGRAM}) or leave --slice out"
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class PrintSettings:
    """How a filament print is laid down; the speeds are those of a common 0.20 mm profile.

    Parameters
    ----------
    layer_mm
        Layer height.
    perimeters
        Strands round each outline.
    infill
        Share of the inside that is filled.
    nozzle_mm
        Nozzle diameter.
    top_layers, bottom_layers
        Solid layers.
    """

    layer_mm: float = 0.2
    perimeters: int = 3
    infill: float = 0.15
    nozzle_mm: float = 0.4
    top_layers: int = 5
    bottom_layers: int = 4

    def arguments(self, bed_mm: tuple[float, float, float], density_g_cm3: float) -> list[str]:
        """Options for the slicer's command line."""
        x, y, z = bed_mm
        options: dict[str, object] = {
            "layer-height": self.layer_mm,
            "first-layer-height": self.layer_mm,
            "perimeters": self.perimeters,
            "fill-density": f"{100 * self.infill:g}%",
            "fill-pattern": "rectilinear" if self.infill >= 1 else "grid",
            "top-solid-layers": self.top_layers,
            "bottom-solid-layers": self.bottom_layers,
            "nozzle-diameter": self.nozzle_mm,
            "filament-diameter": 1.75,
            "filament-density": density_g_cm3,
            "bed-shape": f"0x0,{x:g}x0,{x:g}x{y:g},0x{y:g}",
            "max-print-height": z,
        }
        return [part for key, value in (options | _PROFILE).items() for part in (f"--{key}", str(value))]


_PROFILE: dict[str, object] = {
    "perimeter-speed": 45, "external-perimeter-speed": 25, "small-perimeter-speed": 25, "infill-speed": 80,
    "solid-infill-speed": 80, "top-solid-infill-speed": 40, "gap-fill-speed": 40, "bridge-speed": 30,
    "travel-speed": 180, "first-layer-speed": 20, "default-acceleration": 1000, "perimeter-acceleration": 800,
    "machine-max-acceleration-extruding": 1250, "skirts": 0, "gcode-flavor": "marlin2",
}  # fmt: skip


@dataclass(frozen=True)
class SliceReport:
    """What the slicer says.

    Parameters
    ----------
    program
        Name and version.
    manifold
        Whether it takes the mesh for closed.
    open_edges, facets_reversed
        Faults it counts.
    mended
        Edges and facets it changed while reading; a mesh it could mend is "manifold" to it.
    parts
        Separate bodies.
    volume_ml
        Volume it reads.
    filament_mm, filament_cm3, filament_g
        Plastic; ``None`` when it was only asked about the mesh.
    time_s
        Printing time, normal mode; ``None`` as before.
    settings
        How it was sliced.
    """

    program: str
    manifold: bool
    open_edges: int
    facets_reversed: int
    mended: int
    parts: int
    volume_ml: float
    filament_mm: float | None = None
    filament_cm3: float | None = None
    filament_g: float | None = None
    time_s: float | None = None
    settings: PrintSettings = field(default_factory=PrintSettings)

    @property
    def sound(self) -> bool:
        """Whether the slicer had nothing to mend."""
        return self.manifold and not (self.open_edges or self.facets_reversed or self.mended)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"sound": self.sound, **asdict(self)}


def available() -> bool:
    """Whether PrusaSlicer can be run here."""
    return shutil.which(PROGRAM) is not None


def slice_mesh(
    mesh_or_path: trimesh.Trimesh | str | Path,
    *,
    export: bool = True,
    bed_mm: tuple[float, float, float] = (250.0, 210.0, 210.0),
    density_g_cm3: float = 1.24,
    settings: PrintSettings | None = None,
    timeout_s: float = 600.0,
) -> SliceReport:
    """Run PrusaSlicer on a mesh and read what it says.

    Parameters
    ----------
    mesh_or_path
        A mesh or mesh file, mm.
    export
        Slice it for filament, time and mass; otherwise only its opinion of the mesh.
    bed_mm
        Bed x, y and height.
    density_g_cm3
        Density of the filament.
    settings
        How to print it.
    timeout_s
        Longest wait for each of the two runs.

    Returns
    -------
    SliceReport
        All from the slicer; nothing is computed here.

    Raises
    ------
    InputError
        If it is not installed or cannot read the mesh.
    PrintabilityError
        If the part does not fit its bed, it gives up, or it takes too long.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(subject="slicing", expected=f"{PROGRAM} on the PATH", found="none", remedy=_INSTALL)
    settings = settings or PrintSettings()
    with tempfile.TemporaryDirectory(prefix="comould-slice-") as folder:
        model = _model(mesh_or_path, Path(folder))
        info = _info(_run([program, "--info", str(model)], folder, timeout_s))
        if not export:
            return SliceReport(**info, program=_version(program, folder, timeout_s), settings=settings)
        gcode = Path(folder) / "out.gcode"
        options = settings.arguments(bed_mm, density_g_cm3)
        said = _run([program, *options, "--export-gcode", "--output", str(gcode), str(model)], folder, timeout_s)
        if not gcode.is_file():
            raise _gave_up(said, bed_mm)
        return SliceReport(**info, **_gcode(gcode), settings=settings)


def _model(mesh_or_path: trimesh.Trimesh | str | Path, folder: Path) -> Path:
    """Write the mesh as the slicer is to read it: a plain name in an own folder, standing on z = 0."""
    import trimesh as tm
    from trimesh.exchange.stl import export_stl

    from comould.io.mesh import read_mesh

    mesh = read_mesh(mesh_or_path) if isinstance(mesh_or_path, str | Path) else mesh_or_path
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise InputError(subject="mesh to slice", expected="finite triangles", found="none, or NaN corners")
    low = np.append(mesh.bounds.mean(axis=0)[:2], mesh.bounds[0, 2])
    moved = tm.Trimesh(np.asarray(mesh.vertices) - low, np.asarray(mesh.faces), process=False)
    path = folder / "model.stl"
    # Open meshes are written too: they are what the slicer is asked about.
    path.write_bytes(export_stl(moved))
    return path


def _run(command: list[str], folder: str, timeout_s: float) -> str:
    config = Path(folder) / "config"
    config.mkdir(exist_ok=True)
    try:
        done = subprocess.run(
            [command[0], "--datadir", str(config), "--loglevel", "1", *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise PrintabilityError(
            subject=PROGRAM,
            expected=f"an answer within {timeout_s:g} s",
            found="none",
            remedy="Give it more time (timeout_s) or a mesh with fewer triangles",
        ) from error
    except OSError as error:
        raise InputError(
            subject=PROGRAM, expected="a program that runs", found=error.strerror or str(error), remedy=_INSTALL
        ) from error
    return f"{done.stdout}\n{done.stderr}"


def _info(said: str) -> dict[str, Any]:
    found = dict(re.findall(r"^(\w+)\s*=\s*(\S+)\s*$", said, re.MULTILINE))
    if "manifold" not in found or "volume" not in found:
        raise InputError(subject=PROGRAM, expected="facts about the mesh", found=_last_words(said))
    return {
        "manifold": found["manifold"] == "yes",
        "open_edges": int(found.get("open_edges", 0)),
        "facets_reversed": int(found.get("facets_reversed", 0)),
        "mended": sum(int(found.get(name, 0)) for name in ("edges_fixed", "facets_removed", "backwards_edges")),
        "parts": int(found.get("number_of_parts", 1)),
        "volume_ml": float(found["volume"]) / 1000.0,
    }


def _gcode(path: Path) -> dict[str, Any]:
    """Read the comments that state what it takes; the commands between them run to hundreds of megabytes."""
    facts: dict[str, Any] = {"program": PROGRAM}
    names = {"mm": "filament_mm", "cm3": "filament_cm3", "g": "filament_g"}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if not line.startswith(";"):
                continue
            if match := re.match(r"; generated by (\S+ \S+)", line):
                facts["program"] = match.group(1).split("+")[0]
            elif match := re.match(r"; filament used \[(mm|cm3|g)\] = ([\d.]+)", line):
                facts[names[match.group(1)]] = float(match.group(2))
            elif match := re.match(r"; estimated printing time \(normal mode\) = (.+)", line):
                facts["time_s"] = seconds_of(match.group(1))
    missing = [name for name in (*names.values(), "time_s") if name not in facts]
    if missing:
        raise PrintabilityError(
            subject=f"G-code of {PROGRAM}", expected="its own figures", found=f"no {', '.join(missing)}"
        )
    return facts


def seconds_of(text: str) -> float:
    """Read ``"1d 13h 9m 29s"`` as seconds."""
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)\s*([dhms])", text))


def _version(program: str, folder: str, timeout_s: float) -> str:
    said = re.search(r"PrusaSlicer-\S+", _run([program, "--help"], folder, timeout_s))
    return said.group(0).replace("-", " ", 1).split("+")[0] if said else PROGRAM


def _gave_up(said: str, bed_mm: tuple[float, float, float]) -> PrintabilityError:
    if "fit on the bed" in said or "exceeds the maximum" in said:
        x, y, z = bed_mm
        return PrintabilityError(
            subject=PROGRAM,
            expected=f"a part that fits a bed of {x:g} × {y:g} × {z:g} mm",
            found="a larger one",
            remedy="Choose a larger printer or split the part",
        )
    return PrintabilityError(subject=PROGRAM, expected="G-code", found=_last_words(said))


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and "[trace]" not in line]
    return lines[-1][:200] if lines else "no word"
