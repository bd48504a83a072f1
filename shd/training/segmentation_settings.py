"""Every choice of the training of a segmentation, with its defaults."""

from dataclasses import dataclass, field

from shd.training.settings import default_device

__all__ = ["LOSSES", "SegmentationSettings"]

LOSSES = ("cross-entropy", "dice", "both")


@dataclass(frozen=True)
class SegmentationSettings:
    """Settings of a training on labelled scans.

    steps: the budget; minutes: in its place, if given. patch: side of the boxes that are learned from, in voxels;
    batch: boxes a step; foreground: share of them drawn around a labelled voxel, each label as often. loss:
    "cross-entropy", "dice" or "both", their sum. balance: exponent p of the weights frequency^−p of the labels in the
    cross-entropy: 1 makes all labels count alike, 0 all voxels. learning_rate: its peak; warm_up: part of the budget
    until it. averaging: decay of the running average of the weights that is kept. largest_gradient: norm to which
    gradients are cut. noise: deviation of the noise added to boxes, in units of the mean b=0 intensity; turn: boxes are
    turned by random rotations of the cube, signals being interpolated between directions. held_out: subjects to
    validate on, a number or a share below 1; validation: boxes of a validation, half of them around labelled voxels;
    validations: over the budget; patience: validations without improvement after which training ends.
    checkpoint_seconds: longest training that an interruption can lose.
    """

    steps: int = 2000
    minutes: float | None = None
    patch: int = 16
    batch: int = 4
    foreground: float = 0.5
    loss: str = "both"
    balance: float = 0.5
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    averaging: float = 0.99
    largest_gradient: float = 1.0
    noise: float = 0.0
    turn: bool = False
    held_out: float = 0.2
    validation: int = 32
    validations: int = 20
    patience: int | None = None
    checkpoint_seconds: float = 20.0
    device: str = field(default_factory=default_device)
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be."""
        if self.loss not in LOSSES:
            raise ValueError(f"loss {self.loss!r}: use one of {', '.join(LOSSES)}")
        if min(self.steps, self.batch, self.validation, self.validations) < 1 or self.patch < 2:
            raise ValueError("steps, batch, validation and validations are 1 or more, patch is 2 or more")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"{self.minutes} minutes: give more than 0")
        if not 0.0 <= self.foreground <= 1.0:
            raise ValueError(f"foreground {self.foreground:g} is a share, from 0 to 1")
        if min(self.balance, self.noise, self.held_out, self.checkpoint_seconds) < 0:
            raise ValueError("balance, noise, held_out and checkpoint_seconds are 0 or more")
        if self.held_out >= 1 and self.held_out % 1:
            raise ValueError(f"held_out {self.held_out}: a whole number of subjects, or a share below 1")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience {self.patience}: give 1 or more")
