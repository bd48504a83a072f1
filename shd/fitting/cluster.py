"""Tasks by name, over this process, processes of this machine, or the machines of a running dask scheduler."""

import json
import logging
import pickle
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shd.errors import ResourceError, ShdError, ShdWarning

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Failure", "can_distribute", "in_turn", "local_cluster", "running_scheduler", "spread"]

_SECONDS_TO_CONNECT = 10.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Failure:
    """Why a task has no result. message: one line. trace: Python's traceback, empty where the user can act on it."""

    message: str
    trace: str = ""


def in_turn(task: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], retries: int) -> Iterator[tuple[str, Any]]:
    """Run `task(*arguments)` for each name in this process; give (name, result or Failure) as they end.

    An error that is no ShdError is tried `retries` times again.
    """
    for name, arguments in tasks.items():
        yield name, _tried(task, arguments, retries + 1)


def _tried(task: Callable[..., Any], arguments: tuple[Any, ...], times: int) -> Any:
    failure = None
    for _ in range(times):
        try:
            return task(*arguments)
        except ShdError as error:
            return _failure(error)
        except Exception as error:
            failure = _failure(error)
    return failure


def spread(
    client: "Client", task: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], retries: int
) -> Iterator[tuple[str, Any]]:
    """Run `task(*arguments)` for each name on the client's workers; give (name, result or Failure) as they end.

    An error that is no ShdError is tried `retries` times again by the same worker. A task whose worker dies is given to
    another, as often as the scheduler's setting `allowed-failures` says. Tasks not done when the iteration is left, by
    an interrupt for example, are cancelled. Only workers import what the task needs, and say if they cannot.
    """
    from distributed import as_completed

    run = uuid.uuid4().hex[:8]  # the same names in another run are other tasks
    futures = {
        client.submit(_unpacked, pickle.dumps((task, arguments)), retries + 1, key=f"{name}-{run}", pure=False): name
        for name, arguments in tasks.items()
    }
    try:
        for future in as_completed(futures, loop=client.loop):
            yield futures[future], future.result() if future.status == "finished" else _lost(future)
            future.release()
    finally:
        client.cancel([future for future in futures if not future.done()])


def _unpacked(packed: bytes, times: int) -> Any:
    try:
        task, arguments = pickle.loads(packed)
    except Exception as error:  # this machine's shd is another one, for example
        return _failure(error)
    return _tried(task, arguments, times)


def can_distribute() -> bool:
    """Return whether dask's scheduler and workers are installed."""
    return find_spec("distributed") is not None


@contextmanager
def local_cluster(workers: int, threads: int, retries: int) -> Iterator["Client"]:
    """Give a client of `workers` processes on this machine, of `threads` threads each, which end with the block.

    They take one task at a time, and are started again when they die. Nothing listens to other machines.
    """
    _require_dask()
    import dask
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": retries,
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_THREADS, str(threads)),
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
            memory_limit=0, silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def running_scheduler(address: str) -> Iterator["Client"]:
    """Give a client of the scheduler at `address`, as tcp://host:8786, or in the JSON file that it wrote.

    Raises ResourceError where no scheduler answers within seconds.
    """
    _require_dask()
    from distributed import Client

    try:
        where = json.loads(Path(address).read_text())["address"] if address.endswith(".json") else address
        client = Client(where, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ResourceError(
            f"no scheduler answers at {address} within {_SECONDS_TO_CONNECT:.0f} s ({reason}); start one (dask "
            "scheduler) and give the address it shows, or leave --scheduler out to work on this machine"
        ) from error
    with client:
        if not client.nthreads():
            warnings.warn(
                f"0 workers have joined the scheduler at {address}; the subjects wait until one does (dask worker)",
                ShdWarning,
                stacklevel=3,
            )
        yield client


def _require_dask() -> None:
    if not can_distribute():
        raise ResourceError(
            "0 of 2 libraries that distribute work (dask, distributed) are installed; pip install 'shd[cluster]', or "
            "give --workers 1"
        )


def _lost(future: Any) -> Failure:
    """Return why a future has no result: its error, or that its scheduler or its worker is gone."""
    from distributed import KilledWorker

    if future.status == "cancelled":
        return Failure("the scheduler was lost; start it and the same command again")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return Failure(
            f"the process that computed it died {error.allowed_failures + 1} times; was there enough memory? Give "
            "fewer --workers or a smaller --tile"
        )
    return _failure(error)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, ShdError):
        return Failure(str(error))
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failure(line, "".join(traceback.format_exception(error)))
