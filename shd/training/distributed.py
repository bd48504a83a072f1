"""One training in several processes, each with examples of its own: what they tell each other."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from shd.errors import SettingsError

__all__ = ["Processes", "joined_processes", "meeting"]

Value = TypeVar("Value")

_PATIENCE = timedelta(hours=12)  # while the first process estimates responses, or validates
_LOOK_AGAIN = timedelta(seconds=1)  # for a first process that was started anew


@dataclass(frozen=True)
class Processes:
    """The processes of one training. rank: number of this one, from 0. count: of all.

    Alone, every method returns what it is given.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.rank == 0

    def total(self, vector: Tensor) -> Tensor:
        """Return the sum over processes of a vector on the training's device."""
        if self.count > 1:
            dist.all_reduce(vector)
        return vector

    def largest(self, vector: Tensor) -> Tensor:
        """Return the largest value of each entry over processes."""
        if self.count > 1:
            dist.all_reduce(vector, op=dist.ReduceOp.MAX)
        return vector

    def from_first(self, value: Value) -> Value:
        """Return what the first process gives here."""
        if self.count == 1:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def sharing(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are means over processes, after each backward pass outside `no_sync`."""
        if self.count == 1:
            return network
        # an example without truth, or with fewer tissues, leaves parameters without gradient
        return DistributedDataParallel(network, find_unused_parameters=True)


@contextmanager
def joined_processes(device: str) -> Iterator[tuple[Processes, str]]:
    """Give the processes that `torchrun` started, or this one alone, and this one's device.

    device: "cpu", "cuda" or "cuda:N"; "cuda" becomes the GPU of this process's number on its machine. Raises
    SettingsError for port 0, which `torchrun` hands on as it is, and at which processes would look for each other in
    vain until `_PATIENCE` ends.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(), device
        return
    if os.environ.get("MASTER_PORT") == "0":
        raise SettingsError(
            f"port 0 for {count} processes to meet at; give torchrun --standalone, which finds a free one, or "
            "--master-port with a number from 1024 on"
        )
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    store, rank, count = next(dist.rendezvous("env://", timeout=_PATIENCE))
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=meeting(store, rank, count),
        rank=rank,
        world_size=count,
        timeout=_PATIENCE,
    )
    try:
        yield Processes(rank, count), device
    finally:
        dist.destroy_process_group()


def meeting(store: dist.Store, rank: int, count: int) -> dist.Store:
    """Return the part of a store that is of these processes alone, the same to all of them.

    `torchrun` keeps its store when it starts processes again after one died, and what these wrote there. A process that
    is quicker than the new first one would find the address of the old (pytorch/pytorch#135712). So the first process
    gives the part a name of its own, and each other takes a name when it is answered under it.
    """
    if rank == 0:
        name = uuid.uuid4().hex
        store.set("shd", name)
        part = dist.PrefixStore(name, store)
        for other in range(1, count):
            part.set(f"answer {other} {part.get(f'arrived {other}').decode()}", "")
        return part
    own = uuid.uuid4().hex
    while True:
        part = dist.PrefixStore(store.get("shd").decode(), store)
        part.set(f"arrived {rank}", own)
        try:
            part.wait([f"answer {rank} {own}"], _LOOK_AGAIN)
        except dist.DistStoreError:
            continue  # the name is of a first process that has died, or this one is slow
        return part
