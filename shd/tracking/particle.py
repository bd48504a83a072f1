"""Particle-filtering tracking by DIPY: streamlines that must end in grey matter, or leave the brain.

Girard, Whittingstall, Deriche and Descoteaux, NeuroImage 98 (2014): where a streamline would end in white matter or
CSF, it goes back a little and a cloud of particles looks for another way. It ends where a voxel is more than half grey
matter (the criterion of Smith et al., NeuroImage 62 (2012)); the continuous map criterion of the paper ends it at
random wherever there is any, which at bundles' sides is everywhere (`docs/tractography.md`).
"""

import numpy as np
from dipy.direction import ProbabilisticDirectionGetter
from dipy.tracking.local_tracking import ParticleFilteringTracking
from dipy.tracking.stopping_criterion import ActStoppingCriterion
from jaxtyping import Float

from shd.tracking.field import TrackingField
from shd.tracking.probabilistic import DIPY_BASIS, above_cutoff, random_number, sphere
from shd.tracking.seeds import Seeds
from shd.tracking.settings import TrackSettings
from shd.tracking.tissues import tissue_maps

__all__ = ["ParticleTracker"]


class ParticleTracker:
    """DIPY's particle filter, on one thread; the random stream of a streamline depends on its seed alone.

    It works on harmonics: sampled on the sphere beforehand (`sh_to_pmf`) steps take a third of the time, but a whole
    brain would take 15 GB.
    """

    def __init__(self, field: TrackingField, settings: TrackSettings, threads: int = 1) -> None:
        self._getter = ProbabilisticDirectionGetter.from_shcoeff(
            above_cutoff(field, settings.cutoff), max_angle=settings.angle, sphere=sphere(), sh_to_pmf=False,
            pmf_threshold=0.0, **DIPY_BASIS,
        )  # fmt: skip
        include, exclude = tissue_maps(field)
        self._stopping = ActStoppingCriterion(include, exclude)
        self._affine = np.diag([*field.voxel_sizes, 1.0])
        self._mask, self._settings, self._number = field.mask, settings, random_number(field, settings.seed)

    def follow(self, seeds: Seeds) -> list[Float[np.ndarray, "point 3"]]:
        """Return the lines that end where they may, in voxel units of the field."""
        settings, sizes = self._settings, np.diag(self._affine)[:3]
        lines = ParticleFilteringTracking(
            self._getter, self._stopping, seeds.points * sizes, self._affine, settings.step,
            maxlen=int(settings.max_length / settings.step) + 2, minlen=1, return_all=False,
            random_seed=self._number, initial_directions=seeds.directions[:, None],
        )  # fmt: skip
        return [self._inside(np.asarray(line) / sizes) for line in lines]

    def _inside(self, line: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "some 3"]:
        """Return a line from its first to its last point in the mask: without the steps that left it."""
        within = np.flatnonzero(self._mask[tuple(np.rint(line).astype(np.int64).T)])
        return line[within[0] : within[-1] + 1]
