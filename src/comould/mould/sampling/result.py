"""SamplingPlan: which cores to take where, and which habitats could not be reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comould.mould.sampling.options import CoreOptions
from comould.mould.sampling.slab import Slab

if TYPE_CHECKING:
    import pandas as pd

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Core:
    """One core.

    Parameters
    ----------
    id
        Slab and number, ``S03-1``; the number is the one on the slab's plate.
    number
        1 and on, within the slab.
    slab, plane
        Ids of the slab and of the plane of its face.
    face
        Which face of that cut it is taken from.
    label, habitat
        The habitat's number in the label image, and its name.
    uv_mm
        Centre on the plane: its own u and v, whichever face is seen.
    face_mm, middle_mm
        Patient positions of the centre on the face and half-way down the core.
    depth_mm
        Tissue along its axis, from the face.
    diameter_mm
        Of the core.
    purity
        Share of its tissue that is of the habitat, through its depth.
    volume_mm3
        Tissue in it.
    to_border_mm, to_edge_mm
        From its circumference to the habitat's border and to the specimen's edge, on the face.
    """

    id: str
    number: int
    slab: str
    plane: str
    face: str
    label: int
    habitat: str
    uv_mm: tuple[float, float]
    face_mm: Vector
    middle_mm: Vector
    depth_mm: float
    diameter_mm: float
    purity: float
    volume_mm3: float
    to_border_mm: float
    to_edge_mm: float

    def row(self) -> dict[str, Any]:
        """One row of the table."""
        return {
            "core": self.id,
            "slab": self.slab,
            "plane": self.plane,
            "face": self.face,
            "habitat": self.habitat,
            "label": self.label,
            "u_mm": round(self.uv_mm[0], 3),
            "v_mm": round(self.uv_mm[1], 3),
            **{f"face_{axis}_mm": round(value, 3) for axis, value in zip("xyz", self.face_mm, strict=True)},
            **{f"middle_{axis}_mm": round(value, 3) for axis, value in zip("xyz", self.middle_mm, strict=True)},
            "depth_from_mm": 0.0,
            "depth_to_mm": round(self.depth_mm, 2),
            "diameter_mm": self.diameter_mm,
            "purity": round(self.purity, 4),
            "volume_mm3": round(self.volume_mm3, 1),
            "to_border_mm": round(self.to_border_mm, 2),
            "to_edge_mm": round(self.to_edge_mm, 2),
        }


@dataclass(frozen=True)
class Shortfall:
    """A habitat of a slab that got fewer cores than wanted.

    Parameters
    ----------
    slab
        Its id.
    label, habitat
        The habitat's number and name.
    wanted, placed
        Cores.
    face_mm2
        Its area on the face.
    volume_ml
        Its volume in the slab.
    reason
        Why, in words.
    """

    slab: str
    label: int
    habitat: str
    wanted: int
    placed: int
    face_mm2: float
    volume_ml: float
    reason: str


@dataclass(frozen=True)
class SamplingPlan:
    """Cores of all slabs.

    Parameters
    ----------
    slabs
        Every slab with tissue.
    cores
        Slab by slab.
    short
        Habitats of a slab with fewer cores than wanted, with the reason: none is dropped without a word.
    options
        What was asked for.
    """

    slabs: tuple[Slab, ...]
    cores: tuple[Core, ...]
    short: tuple[Shortfall, ...]
    options: CoreOptions

    def of(self, slab: str | Slab) -> tuple[Core, ...]:
        """Cores of one slab."""
        name = slab if isinstance(slab, str) else slab.id
        return tuple(core for core in self.cores if core.slab == name)

    def table(self) -> pd.DataFrame:
        """One row per core; ``u_mm``, ``v_mm`` on the plane, ``face_*`` and ``middle_*`` patient LPS, all mm."""
        import pandas as pd

        empty = Core("", 0, "", "", "", 0, "", (0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), *(0.0,) * 6).row()
        return pd.DataFrame([core.row() for core in self.cores], columns=list(empty))

    def short_table(self) -> pd.DataFrame:
        """One row per habitat of a slab that got fewer cores than wanted."""
        import pandas as pd

        rows = [
            {**asdict(gap), "face_mm2": round(gap.face_mm2, 1), "volume_ml": round(gap.volume_ml, 3)}
            for gap in self.short
        ]
        return pd.DataFrame(rows, columns=list(Shortfall.__dataclass_fields__))

    def write_csv(self, path: str | Path) -> Path:
        """Write :meth:`table` as CSV; returns the path."""
        path = Path(path)
        self.table().to_csv(path, index=False, lineterminator="\n")
        return path

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "frame": "patient",
            "orientation": "LPS",
            "units": "mm",
            "options": self.options.to_dict(),
            "cores": [asdict(core) for core in self.cores],
            "short": [asdict(gap) for gap in self.short],
        }
