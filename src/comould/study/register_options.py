"""How a case's sections are registered: every choice of ``comould register``, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comould.errors import InputError
from comould.study.case_folder import NAMED_PICTURES

if TYPE_CHECKING:
    from comould.register import RegisterSettings


@dataclass(frozen=True)
class RegisterOptions:
    """How a case is registered.

    Parameters
    ----------
    n_samples
        Members of each section's ensemble; 0 for none.
    seed
        Same seed, same bits, with any number of workers.
    workers
        elastix processes.
    shrinkage
        Bounds of slide size over patient size.
    plane
        ``"fit"``, ``"test"`` or ``"plan"``: see :class:`comould.register.RegisterSettings`.
    deformable
        Whether the B-spline is tried.
    thresholds
        A file of thresholds for the verdict; the package's own if None.
    via
        Which further pictures of each section (``adjacent``, ``photo``) to go home over.
    force
        Map the spots of rejected sections as well.

    Raises
    ------
    InputError
        If a number is out of range or a picture's name is none.
    """

    n_samples: int = 8
    seed: int = 0
    workers: int = 1
    shrinkage: tuple[float, float] = (0.75, 1.1)
    plane: str = "fit"
    deformable: bool = True
    thresholds: Path | None = None
    via: tuple[str, ...] = ()
    force: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} {value} is below {least}"
            for name, value, least in (
                ("n_samples", self.n_samples, 0), ("seed", self.seed, 0), ("workers", self.workers, 1),
            )
            if value < least
        ]  # fmt: skip
        problems += [
            f"via {name!r} is none of {', '.join(NAMED_PICTURES)}" for name in self.via if name not in NAMED_PICTURES
        ]
        if problems:
            raise InputError.collect(subject="options", problems=problems)

    def settings(self) -> RegisterSettings:
        """Make the registration's own settings, thresholds read."""
        from comould.register import RegisterSettings, Thresholds

        return RegisterSettings(
            shrinkage=self.shrinkage,
            deformable=self.deformable,
            plane=self.plane,  # type: ignore[arg-type]
            thresholds=Thresholds.load(self.thresholds),
        )
