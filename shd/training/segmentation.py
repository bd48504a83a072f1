"""The training of a segmentation on its way: steps, validations, the best weights so far, and what is saved of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shd.evaluation.segmentation_scores import average_precision
from shd.training.losses.segmentation import IGNORED, cross_entropy, dice_loss
from shd.training.optimisation import Optimisation
from shd.training.segmentation_settings import SegmentationSettings
from shd.training.watch import HELD_OUT, Watch, scored

__all__ = ["SegmentationCourse"]

_TERMS = ("loss", "cross_entropy", "dice")

Batch = tuple[Float[Tensor, "batch q x y z"], Int[Tensor, "batch x y z"]]


class SegmentationCourse:
    """What happens around the steps of a training; a validation's average precision is that of the labels that occur in
    it but the background, and `chance` what random probabilities would have: the share of voxels with the label.

    make: gives a network. frequencies: share of each label among the voxels learned from. fingerprint: of everything
    that shapes the result. on: what validations score, `HELD_OUT` or `LEARNED`. watch: what is kept of them, with the
    averaged weights of the highest average precision (the mean over labels; where their boxes have none, of the lowest
    loss).
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        settings: SegmentationSettings,
        frequencies: Float[np.ndarray, " label"],
        fingerprint: str,
        on: str = HELD_OUT,
    ) -> None:
        self.settings, self.on = settings, on
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        self.optimisation = Optimisation(
            make,
            self.device,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            averaging=settings.averaging,
            warm_up=settings.warm_up,
        )
        weights = np.maximum(frequencies, 1e-6) ** -settings.balance
        self.label_weights = torch.tensor(weights / weights.sum(), dtype=torch.float32, device=self.device)
        self.seconds = 0.0
        self.watch = Watch(self.optimisation.average, fingerprint, settings.patience)
        self._sums = torch.zeros(len(_TERMS), dtype=torch.float64)
        self._since = 0

    @property
    def steps_done(self) -> int:
        """Steps taken."""
        return self.optimisation.steps_done

    @property
    def progress(self) -> float:
        """Part of the budget that is used."""
        settings = self.settings
        return self.seconds / (60.0 * settings.minutes) if settings.minutes else self.steps_done / settings.steps

    @property
    def finished(self) -> bool:
        """Whether the budget is used, or patience at its end."""
        return self.progress >= 1.0 or self.watch.exhausted

    def step(self, batch: Batch) -> None:
        """Train on a batch; `seconds` is the caller's to count."""
        signal, labels = (part.to(self.device) for part in batch)
        self.optimisation.begin(self.progress)
        terms = self._terms(self.optimisation.model(signal), labels)
        terms["loss"].backward()
        self.optimisation.finish(self.settings.largest_gradient)
        self._sums += torch.stack([terms[name].detach().double().cpu() for name in _TERMS])
        self._since += 1

    def _terms(
        self, logits: Float[Tensor, "batch label x y z"], labels: Int[Tensor, "batch x y z"]
    ) -> dict[str, Tensor]:
        entropy, dice = cross_entropy(logits, labels, self.label_weights), dice_loss(logits, labels)
        kind = self.settings.loss
        loss = entropy if kind == "cross-entropy" else dice if kind == "dice" else entropy + dice
        return {"loss": loss, "cross_entropy": entropy, "dice": dice}

    @torch.no_grad()
    def validate(self, batches: list[Batch]) -> None:
        """Score the averaged weights on the batches of a validation, and keep them if they are the best so far."""
        row: dict[str, int | float] = {"step": self.steps_done, "seconds": self.seconds}
        row["learning_rate"] = float(self.optimisation.optimiser.param_groups[0]["lr"])
        if self._since:
            row |= {name: float(value) / self._since for name, value in zip(_TERMS, self._sums, strict=True)}
        self._sums.zero_()
        self._since = 0
        found, chances, truths = [], [], []
        for signal, labels in batches:
            logits = self.optimisation.average(signal.to(self.device))
            found.append(self._terms(logits, labels.to(self.device)))
            held = labels != IGNORED
            chances.append(logits.softmax(dim=1).movedim(1, -1).cpu()[held])
            truths.append(labels[held])
        for name in _TERMS:
            row[scored(name, self.on)] = float(torch.stack([terms[name] for terms in found]).double().mean())
        chance, truth = torch.cat(chances).numpy(), torch.cat(truths).numpy()
        present = [label for label in range(1, chance.shape[1]) if (truth == label).any()]
        if present:
            precisions = [average_precision(truth == label, chance[:, label]) for label in present]
            row[scored("average_precision", self.on)] = float(np.mean(precisions))
            row[scored("chance", self.on)] = float(np.mean([(truth == label).mean() for label in present]))
        self.watch.add(row, self._score(row))

    def _score(self, row: dict[str, int | float]) -> float:
        """Return how good the weights of a validation are: the higher the better."""
        return row.get(scored("average_precision", self.on), -row[self.on])

    def best_row(self) -> dict[str, int | float]:
        """Return the history's row of the best weights."""
        return max(self.watch.history, key=self._score)

    def best_network(self) -> nn.Module:
        """Return the network of the best weights, ready for inference; its training has ended."""
        network = self.optimisation.average
        network.load_state_dict(self.watch.best)
        return network.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain numbers from which `load_state` goes on, in this process or another."""
        tensors, numbers = self.watch.state()
        tensors |= self.optimisation.tensors() | {"sums": self._sums}
        return tensors, numbers | {"steps_done": self.steps_done, "since": self._since, "seconds": self.seconds}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take up training where `state` was called; raises what `Watch.load_state` does."""
        self.watch.load_state(tensors, numbers)
        self.optimisation.load(tensors, numbers["steps_done"])
        self._sums.copy_(tensors["sums"])
        self._since, self.seconds = numbers["since"], numbers["seconds"]
