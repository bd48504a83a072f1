"""The validations of a training: a row each, the averaged weights of the best, and what is saved of them."""

from typing import Any

from torch import Tensor, nn

from shd._version import __version__
from shd.errors import CheckpointError

__all__ = ["HELD_OUT", "LEARNED", "Watch", "scored"]

HELD_OUT, LEARNED = "held_out", "on_learned"
"""How the history names what validations score: on scans held out, or on those learned from where none is."""

Row = dict[str, int | float]


class Watch:
    """Keeps the weights of the network `average` whenever a validation scores higher than all before.

    fingerprint: of everything that shapes the result, by which a saved state is known again. patience: validations
    without a higher score after which training should end, never if None. history: a row a validation, with its step.
    best: weights of the highest score, `best_score`. without_better: validations since, but for the untrained network.
    """

    def __init__(self, average: nn.Module, fingerprint: str, patience: int | None = None) -> None:
        self.average, self.fingerprint, self.patience = average, fingerprint, patience
        self.best = {name: value.clone() for name, value in average.state_dict().items()}
        self.best_score, self.without_better = float("-inf"), 0
        self.history: list[Row] = []

    @property
    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self.without_better >= self.patience

    def add(self, row: Row, score: float) -> None:
        """Append the row of a validation, and keep the weights if they are the best so far."""
        self.history.append(row)
        if score > self.best_score:
            self.best_score, self.without_better = score, 0
            for name, value in self.average.state_dict().items():
                self.best[name].copy_(value)
        elif row["step"]:
            self.without_better += 1

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain numbers from which `load_state` goes on."""
        numbers = {
            "fingerprint": self.fingerprint,
            "best_score": self.best_score,
            "without_better": self.without_better,
            "history": self.history,
        }
        return {f"best.{name}": value for name, value in self.best.items()}, numbers

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take up watching where `state` was called.

        numbers: with the version of shd that wrote them. Raises CheckpointError where the state is of another version,
        or belongs to other data or settings.
        """
        if numbers["version"] != __version__:
            raise CheckpointError(
                f"the unfinished training was saved by shd {numbers['version']}, this is {__version__}; give --force "
                "to start anew, or another --out"
            )
        if numbers["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                f"the unfinished training (fingerprint {numbers['fingerprint']}) had other data or settings than this "
                f"one ({self.fingerprint}); give --force to start anew, or another --out"
            )
        for name, value in self.best.items():
            value.copy_(tensors[f"best.{name}"])
        self.best_score, self.without_better = numbers["best_score"], numbers["without_better"]
        self.history = numbers["history"]


def scored(term: str, on: str = HELD_OUT) -> str:
    """Return the name of a validation's mean of a term in the history: held_out, held_out_dice."""
    return on if term == "loss" else f"{on}_{term}"
