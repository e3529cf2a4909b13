"""Registering many sections at once; the result does not depend on the number of workers, nor on the order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from comould.errors import InputError
from comould.io.section import Section
from comould.register.align import Imaging, Task, to_plane
from comould.register.elastix import ElastixWorker, shared_worker
from comould.register.result import SectionRegistration
from comould.register.settings import DEFAULT_SAMPLES, Clues, RegisterSettings
from comould.space import SlicePlan

if TYPE_CHECKING:
    import SimpleITK as sitk

    from comould.register.plane import Images

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class BatchOptions:
    """How many sections are registered.

    Parameters
    ----------
    seed
        Each section draws its chance from the seed and its own id.
    n_samples, settings
        As for :func:`~comould.register.section`.
    clues
        By section id.
    workers
        How many elastix processes to run, or workers already started.
    progress
        Called as ``progress(section_id, done, total)`` after each section.
    """

    seed: int = 0
    n_samples: int = DEFAULT_SAMPLES
    settings: RegisterSettings | None = None
    clues: Mapping[str, Clues] | None = None
    workers: int | Iterable[ElastixWorker] = 1
    progress: Progress | None = None

    def task(self, section: Section) -> Task:
        """Say what is asked of one section."""
        clues = (self.clues or {}).get(section.id, Clues())
        return Task(own_seed(self.seed, section.id), self.n_samples, self.settings or RegisterSettings(), clues)


def sections(
    sections: Sequence[Section], *, plan: SlicePlan, image: Images, mask: sitk.Image, **options: object
) -> dict[str, SectionRegistration]:
    """Register many sections, each on its own.

    Parameters
    ----------
    sections
        With unique ids; each is paired with its plane by ``plane_id`` alone, so a missing section shifts nobody.
    plan, image, mask
        As for :func:`~comould.register.section`.
    **options
        Fields of :class:`BatchOptions`: ``seed``, ``n_samples``, ``settings``, ``clues``, ``workers``, ``progress``.

    Returns
    -------
    dict
        Section id to registration, in the order given.

    Raises
    ------
    InputError
        Before any work, naming every section without a plane of the plan, every id used twice, every clue without a
        section.
    RegistrationError
        If a section cannot be registered.
    """
    return register_all(list(sections), Imaging(plan, image, mask), batch_options(options))


def batch_options(given: Mapping[str, object]) -> BatchOptions:
    """Make options from keywords.

    Raises
    ------
    InputError
        For a keyword that is none.
    """
    known = list(BatchOptions.__dataclass_fields__)
    if unknown := sorted(set(given) - set(known)):
        raise InputError(subject="registration", expected=f"options of {', '.join(known)}", found=", ".join(unknown))
    return BatchOptions(**given)  # type: ignore[arg-type]


def register_all(listed: list[Section], imaging: Imaging, options: BatchOptions) -> dict[str, SectionRegistration]:
    """Register sections as :func:`sections` does."""
    _check_all(listed, imaging.plan, options)
    found: dict[str, SectionRegistration] = {}
    stopped = Event()
    with worker_pool(options.workers, len(listed)) as pool:

        def run(share: int) -> None:
            """Register every n-th section on one worker."""
            for item in listed[share :: len(pool)]:
                if stopped.is_set():
                    return
                found[item.id] = to_plane(item, imaging, options.task(item), pool[share])
                if options.progress is not None:
                    options.progress(item.id, len(found), len(listed))

        with ThreadPoolExecutor(len(pool)) as threads:
            try:
                for future in as_completed([threads.submit(run, share) for share in range(len(pool))]):
                    future.result()
            except BaseException:
                # An error, or Ctrl-C: nobody waits for what the others are at.
                stopped.set()
                for one in pool:
                    one.abort()
                raise
    return {item.id: found[item.id] for item in listed}


@contextmanager
def worker_pool(workers: int | Iterable[ElastixWorker], most: int) -> Iterator[list[ElastixWorker]]:
    """Give workers: the caller's own, or the shared one and more, closed at the end; elastix starts when asked."""
    with ExitStack() as stack:
        if isinstance(workers, int):
            count = max(1, min(workers, most))
            pool = [shared_worker(), *(stack.enter_context(ElastixWorker()) for _ in range(count - 1))]
        else:
            pool = list(workers)
        yield pool


def own_seed(seed: int, section_id: str) -> int:
    """Seed of one section, from the seed of all and its id."""
    return int(np.random.SeedSequence([seed, *section_id.encode()]).generate_state(1)[0])


def _check_all(sections: list[Section], plan: SlicePlan, options: BatchOptions) -> None:
    known = {plane.id for plane in plan}
    ids = [item.id for item in sections]
    problems = [f"id {i!r} is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    problems += [
        f"section {item.id!r} has plane_id {item.plane_id!r}" for item in sections if item.plane_id not in known
    ]
    problems += [
        f"there are clues for {name!r}, which is no section" for name in sorted(set(options.clues or {}) - set(ids))
    ]
    if problems:
        remedy = f"Give each section one of the plan's plane ids: {', '.join(sorted(known))}"
        raise InputError.collect(subject="sections", problems=problems, remedy=remedy)
