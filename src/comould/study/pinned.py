"""A fixed number of threads, so that a machine's size does not change a result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pinned(threads: int = 1) -> Iterator[None]:
    """Let BLAS, OpenMP, numba and SimpleITK use so many threads while the block runs.

    Parameters
    ----------
    threads
        At least 1.

    Notes
    -----
    Sums in another order differ in their last bits. With the same number of threads in every process a cohort gives
    the same bits with one worker and with fifty.
    """
    import SimpleITK as sitk
    from threadpoolctl import threadpool_limits

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    numba_before = _numba(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
        _numba(numba_before)


def _numba(threads: int) -> int:
    import numba

    before = int(numba.get_num_threads())
    numba.set_num_threads(max(1, min(threads, int(numba.config.NUMBA_NUM_THREADS))))
    return before


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
