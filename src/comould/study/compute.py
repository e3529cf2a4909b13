"""Where the work is done: in this process, in processes of this machine, or on a Dask cluster.

The only module that imports Dask. A task is a case: cases share nothing, so nothing but small outcomes travels.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comould.errors import InputError
from comould.study.pinned import cores

if TYPE_CHECKING:
    from distributed import Client

RESOURCE = "comould_memory"
TOPIC = "comould"
PLUGIN = "comould"
SHARE = 0.8
"""Of the memory that is free at the start."""

CONNECT_S = 15
ALLOWED_DEATHS = 2
"""A task whose worker died so often is given up: it, and not chance, kills them."""

_QUIET_S = 0.2

Tell = Callable[[str, float, str], None]
Work = Callable[[Any, Tell], Any]


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Parameters
    ----------
    name
        Of its own.
    load
        What the work is given; must survive pickling.
    memory_bytes
        What it will need.
    """

    name: str
    load: Any
    memory_bytes: int


@dataclass(frozen=True)
class Compute:
    """Where the work is done.

    Parameters
    ----------
    workers
        Processes on this machine; 0: this process. When None, as many as there are cores, tasks and room.
    scheduler
        Address of a Dask scheduler, ``tcp://host:port``; the workers are then its own.
    memory_bytes
        For all tasks of this machine together; 80 % of what is free when None.

    Raises
    ------
    InputError
        If a number is out of range, or workers are asked of a cluster that has its own.
    """

    workers: int | None = None
    scheduler: str | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.workers is not None and self.workers < 0:
            problems.append(f"workers {self.workers} is below 0")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            problems.append("memory is not above 0")
        if self.scheduler is not None and (self.workers is not None or self.memory_bytes is not None):
            problems.append("a scheduler has its own workers and memory; give no others")
        if self.scheduler is not None and "://" not in self.scheduler:
            problems.append(f"scheduler {self.scheduler!r} is no address such as tcp://host:8786")
        if problems:
            raise InputError.collect(subject="where to compute", problems=problems)

    def memory(self) -> int:
        """Give the memory that tasks may take together, bytes."""
        import psutil

        return self.memory_bytes or int(SHARE * psutil.virtual_memory().available)

    def processes(self, tasks: Sequence[Task]) -> int:
        """Say how many processes of this machine work on tasks; 0 for this one."""
        if self.workers is not None:
            return self.workers
        room = self.memory() // max((one.memory_bytes for one in tasks), default=1)
        return 0 if len(tasks) < 2 else max(1, min(cores(), len(tasks), int(room)))


@dataclass(frozen=True)
class Ended:
    """A task that has ended.

    Parameters
    ----------
    name
        Of the task.
    result
        What the work gave.
    error
        Why there is no result.
    """

    name: str
    result: Any = None
    error: str = ""


def run_tasks(tasks: Sequence[Task], work: Work, compute: Compute, tell: Tell) -> Iterator[Ended]:
    """Do all tasks; each is given back as it ends.

    Parameters
    ----------
    tasks
        With names of their own.
    work
        A function of a module, called with a task's load and a function that takes (step, fraction, note).
    compute
        Where.
    tell
        Called with (task, fraction, note) as they go on.

    Yields
    ------
    Ended
        In the order they end. An error of one task does not stop the others.

    Raises
    ------
    InputError
        If there is no scheduler at the address.

    Notes
    -----
    Tasks are begun in order and held back until the memory they declare is there: on this machine within
    ``compute.memory()``, on a cluster within each worker's own limit (as a Dask resource). One that needs more than
    there is runs alone. A task whose process dies is begun again, twice.
    """
    if compute.scheduler is not None:
        yield from _on_cluster(tasks, work, compute.scheduler, tell)
    elif processes := compute.processes(tasks):
        yield from _on_machine(tasks, work, processes, compute.memory(), tell)
    else:
        for task in tasks:
            yield _here(task, work, tell)


def _here(task: Task, work: Work, tell: Tell) -> Ended:
    try:
        return Ended(
            task.name, work(task.load, lambda step, done, note: tell(task.name, done, f"{step} {note}".strip()))
        )
    except Exception as error:
        return Ended(task.name, error=_said(error))


def _on_machine(tasks: Sequence[Task], work: Work, processes: int, memory: int, tell: Tell) -> Iterator[Ended]:
    import dask
    from distributed import Client, LocalCluster

    # A worker's profiler keeps the call stacks of an hour: over a megabyte a case, and nobody looks at them.
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS, "distributed.worker.daemon": False,
        "distributed.worker.profile.enabled": False,
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="comould-") as scratch,
        dask.config.set(settings),
        LocalCluster(
            n_workers=processes, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=None,
            local_directory=scratch, silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        _prepared(client, tell),
    ):  # fmt: skip
        yield from _packed(client, tasks, work, processes, memory)


def _packed(client: Client, tasks: Sequence[Task], work: Work, processes: int, memory: int) -> Iterator[Ended]:
    """Keep processes busy, with no more memory declared at once than there is."""
    from distributed import as_completed

    waiting, free = deque(tasks), memory
    running: dict[str, Task] = {}
    done = as_completed(loop=client.loop)
    while waiting or running:
        for task in list(waiting):
            if len(running) >= processes or (task.memory_bytes > free and running):
                continue
            waiting.remove(task)
            future = client.submit(_in_worker, work, task, key=f"comould-{task.name}-{time.time_ns()}", pure=False)
            running[future.key] = task
            free -= task.memory_bytes
            done.add(future)
        future = next(done)
        task = running.pop(future.key)
        free += task.memory_bytes
        yield _ended(task.name, future)


def _on_cluster(tasks: Sequence[Task], work: Work, address: str, tell: Tell) -> Iterator[Ended]:
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            subject=f"scheduler {address}", expected="a Dask scheduler that answers",
            found=f"none within {CONNECT_S} s", remedy="Start one with dask scheduler, and give its tcp:// address",
        ) from error  # fmt: skip
    with client, _prepared(client, tell):
        largest = max(_limits(client), default=0)
        names = {}
        for task in tasks:
            declared = min(task.memory_bytes, largest) if largest else task.memory_bytes
            key = f"comould-{task.name}-{time.time_ns()}"
            future = client.submit(_in_worker, work, task, key=key, pure=False, resources={RESOURCE: declared})
            names[future] = task.name
        for future in as_completed(list(names), loop=client.loop):
            yield _ended(names.pop(future), future)


@contextlib.contextmanager
def _prepared(client: Client, tell: Tell) -> Iterator[None]:
    """Ready all workers, now and to come; hear what they tell; leave nothing behind."""

    def heard(event: tuple[float, Any]) -> None:
        task, done, note = event[1]
        tell(task, done, note)

    client.register_plugin(_ready(), name=PLUGIN)
    client.subscribe_topic(TOPIC, heard)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            client.unsubscribe_topic(TOPIC)
            client.unregister_worker_plugin(PLUGIN)


def _limits(client: Client) -> list[int]:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return [int(one["resources"].get(RESOURCE, 0)) for one in workers.values()]


def _ready() -> Any:
    """Make the plugin that readies a worker: it says how much memory it has, and ends its elastix when it is done."""
    from distributed import WorkerPlugin

    class Ready(WorkerPlugin):  # type: ignore[misc]
        """Travels by value: its class need not be known where it arrives."""

        name = PLUGIN

        async def setup(self, worker: Any) -> None:
            """Say how much memory tasks may declare together, unless the worker's own options do."""
            if RESOURCE not in worker.state.total_resources:
                import psutil

                limit = getattr(worker.memory_manager, "memory_limit", None)
                await worker.set_resources(**{RESOURCE: int(limit or psutil.virtual_memory().total)})

        def teardown(self, worker: Any) -> None:
            """End the elastix process of this worker."""
            from comould.study.compute import close_elastix

            close_elastix()

    return Ready()


def close_elastix() -> None:
    """End this process's shared elastix, if it ever began one."""
    import sys

    if "comould.register.elastix" in sys.modules:
        from comould.register.elastix import shared_worker

        shared_worker().close()


def _ended(name: str, future: Any) -> Ended:
    from distributed.scheduler import KilledWorker

    try:
        ended: Ended = future.result()
    except KilledWorker:
        times = f"its process died {ALLOWED_DEATHS + 1} times, most likely for want of memory"
        return Ended(name, error=times)
    except Exception as error:
        return Ended(name, error=_said(error))
    else:
        return ended
    finally:
        future.release()


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _in_worker(work: Work, task: Task) -> Ended:
    """Do a task in a worker, and tell the client how far it is, not too often; an error comes back as words."""
    from distributed import get_worker

    worker, last = get_worker(), [0.0]

    def tell(name: str, done: float, note: str) -> None:
        now = time.monotonic()
        if now - last[0] >= _QUIET_S or done >= 1.0:
            last[0] = now
            worker.log_event(TOPIC, (name, done, note))

    return _here(task, work, tell)
