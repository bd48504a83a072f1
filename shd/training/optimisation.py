"""A network on its way: weights, their running average, and the optimiser, as numbers that can be saved."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from shd.training.schedule import learning_rate_factor

__all__ = ["Optimisation"]

Network = TypeVar("Network", bound=nn.Module)


class Optimisation(Generic[Network]):
    """AdamW with one learning rate, and the running average of the weights (Polyak and Juditsky 1992) that is kept.

    make: gives a network, alike but for its random weights at every call. averaging: decay of the average. warm_up:
    part of the budget until the peak learning rate. start: whose weights to begin with.
    """

    def __init__(
        self,
        make: Callable[[], Network],
        device: torch.device,
        *,
        learning_rate: float,
        weight_decay: float,
        averaging: float,
        warm_up: float,
        start: Network | None = None,
    ) -> None:
        self.learning_rate, self.averaging, self.warm_up = learning_rate, averaging, warm_up
        self.model = make().to(device)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        self.average = make().to(device).eval()
        self.average.load_state_dict(self.model.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        states = [net.state_dict().values() for net in (self.model, self.average)]  # views
        self._weights, self._averages = ([v for v in state if v.is_floating_point()] for state in states)
        self.steps_done = 0

    def begin(self, progress: float) -> None:
        """Prepare a step at this part of the budget (0 to 1)."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * learning_rate_factor(progress, self.warm_up)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)

    @torch.no_grad()
    def finish(self, largest_gradient: float | None = None) -> None:
        """Take the step that the gradients ask for. largest_gradient: norm to which they are cut."""
        if largest_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), largest_gradient)
        self.optimiser.step()
        # early on the average follows closely, so that it does not remember the random start
        decay = min(self.averaging, (1 + self.steps_done) / (10 + self.steps_done))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        self.steps_done += 1

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that training goes on from, but for `steps_done`."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor], steps_done: int) -> None:
        """Take up where `tensors` was called; other tensors than its own may be among them."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.average.load_state_dict(part("average."))
        moments: dict[int, dict[str, Any]] = {}
        for name, value in part("optimiser.").items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = value
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": moments, "param_groups": whole["param_groups"]})
        self.steps_done = steps_done
