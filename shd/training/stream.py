"""Examples ahead of time: made by worker processes, estimated by threads, handed out in their order."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from shd.training.examples import Example, Examples

__all__ = ["stream"]

Made = TypeVar("Made")

_AHEAD = 2  # examples a worker has ready


@dataclass(frozen=True)
class _Listed(Dataset[Example]):
    """Examples by their place in a list of numbers, which workers index."""

    examples: Examples

    def __getitem__(self, number: int) -> Example:
        return self.examples[number]


def _begin_worker(number: int) -> None:
    torch.set_num_threads(1)  # a worker a core: threads of its own would take turns with the others'


def _alone(batch: list[Example]) -> Example:
    return batch[0]


def stream(
    examples: Examples,
    numbers: Sequence[int],
    prepare: Callable[[Example], Made],
    *,
    workers: int = 0,
    threads: int = 1,
) -> Generator[Made, None, None]:
    """Yield what `prepare` makes of each example, in the order of `numbers`.

    workers: processes that make examples; 0 makes them in this one. threads: that prepare them ahead of time. How many
    there are changes no result: each example depends on its number alone.
    """
    options: dict[str, Any] = {"num_workers": workers}
    if workers:  # forkserver: processes forked from one with threads may hang
        options |= {"prefetch_factor": _AHEAD, "multiprocessing_context": "forkserver", "worker_init_fn": _begin_worker}
    loader = DataLoader(_Listed(examples), sampler=numbers, batch_size=1, collate_fn=_alone, **options)
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for example in loader:
                waiting.append(pool.submit(prepare, example))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
