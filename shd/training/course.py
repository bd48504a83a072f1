"""A training on many scans on its way: steps, validations, the best weights so far, and what is saved of all this."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from shd.models.deconvolver import Deconvolver
from shd.scans.trained_range import TrainedRange, joined
from shd.training.population import PopulationTraining, Prepared
from shd.training.watch import HELD_OUT, Watch, scored

__all__ = ["Course"]

_TERMS = (
    "loss", "density", "root", "tissues", "data", "support", "likeness", "sparsity", "negativity", "variation",
)  # fmt: skip


class Course:
    """What happens around the steps of `training`, alike in all its processes.

    `step` trains and says whether a validation is due, of which there are `validations` at even parts of the budget;
    `validate` keeps the averaged weights if their loss is the lowest so far. fingerprint: of everything that shapes the
    result. on: what validations score, `HELD_OUT` or `LEARNED`. watch: what is kept of them. Every random number comes
    from the settings' seed and the number of an example, so the steps done are the place in the data.
    """

    def __init__(
        self,
        training: PopulationTraining,
        validations: int,
        patience: int | None,
        fingerprint: str,
        on: str = HELD_OUT,
    ) -> None:
        self.training, self.validations, self.on = training, validations, on
        self.watch = Watch(training.optimisation.average, fingerprint, patience)
        self.seen = TrainedRange({})
        self._sums = torch.zeros(2, len(_TERMS), dtype=torch.float64, device=training.device)  # values, counts

    @property
    def steps_done(self) -> int:
        """Steps taken."""
        return self.training.optimisation.steps_done

    @property
    def history(self) -> list[dict[str, int | float]]:
        """A row a validation."""
        return self.watch.history

    @property
    def best_loss(self) -> float:
        """The lowest loss of a validation."""
        return -self.watch.best_score

    @property
    def finished(self) -> bool:
        """Whether the budget is used, or patience at its end."""
        return self.training.progress >= 1.0 or self.watch.exhausted

    def step(self, examples: Sequence[Prepared], seconds: float) -> bool:
        """Train on this process's examples of a step; return whether a validation is due.

        seconds: since the last step; those of the first process count.
        """
        training, processes = self.training, self.training.processes
        part = int(training.progress * self.validations)
        rows = training.step(examples)
        sums = torch.zeros_like(self._sums)
        for row in rows:
            for name, value in row.items():
                place = _TERMS.index(name)
                sums[0, place] += value.double()
                sums[1, place] += 1
        if processes.count > 1:
            own = sums.new_tensor([seconds if processes.first else 0.0])
            told = processes.total(torch.cat([sums.flatten(), own]))
            sums, seconds = told[:-1].view_as(sums), float(told[-1])
        self._sums += sums
        self.seen = joined([self.seen, *(example.seen for example in examples if example.seen)])
        training.seconds += seconds
        return int(training.progress * self.validations) > part

    def validate(self, examples: Sequence[Prepared]) -> dict[str, int | float]:
        """Score the averaged weights on examples, which the first process alone needs; return the history's new row."""
        training = self.training
        row: dict[str, int | float] = {
            "step": self.steps_done,
            "seconds": training.seconds,
            "learning_rate": float(training.optimisation.optimiser.param_groups[0]["lr"]),
        }
        totals, counts = self._sums.tolist()
        row |= {name: t / n for name, t, n in zip(_TERMS, totals, counts, strict=True) if n}
        self._sums.zero_()
        if training.processes.first:
            found = training.validate(examples)
            for name in _TERMS:
                values = [terms[name] for terms in found if name in terms]
                if values:
                    row[scored(name, self.on)] = math.fsum(values) / len(values)
        row = training.processes.from_first(row)
        self._share_seen()
        self.watch.add(row, -row[self.on])
        return row

    def _share_seen(self) -> None:
        """Join what the processes have seen; each has seen something, or none has."""
        names = sorted(self.seen.ends)
        if self.training.processes.count == 1 or not names:
            return
        ends = [self.seen.ends[name] for name in names]
        vector = self._sums.new_tensor([-low for low, _ in ends] + [high for _, high in ends])
        lows, highs = self.training.processes.largest(vector).view(2, -1).tolist()
        self.seen = TrainedRange({n: (-low, high) for n, low, high in zip(names, lows, highs, strict=True)})

    def best_model(self) -> Deconvolver:
        """Return a network with the best weights, ready for inference."""
        model = self.training.network().to(self.training.device)
        model.load_state_dict(self.watch.best)
        return model.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain numbers from which `load_state` goes on, in this process or others."""
        tensors, numbers = self.watch.state()
        tensors |= self.training.optimisation.tensors()
        tensors |= {"sums": self._sums, "random_state": torch.get_rng_state()}
        numbers |= {
            "steps_done": self.steps_done,
            "next_example": self.steps_done * self.training.settings.batch,
            "seconds": self.training.seconds,
            "seen": dict(self.seen.ends),
            "settings": repr(self.training.settings),
        }
        return tensors, numbers

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take up training where `state` was called; raises what `Watch.load_state` does."""
        self.watch.load_state(tensors, numbers)
        self.training.optimisation.load(tensors, numbers["steps_done"])
        self._sums.copy_(tensors["sums"])
        torch.set_rng_state(tensors["random_state"])
        self.training.seconds = numbers["seconds"]
        self.seen = TrainedRange({name: (low, high) for name, (low, high) in numbers["seen"].items()})
