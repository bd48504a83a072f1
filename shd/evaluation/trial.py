"""Several methods on one phantom: their scores, and where in the volume they err."""

from collections.abc import Mapping
from dataclasses import dataclass

from shd.evaluation.error_map import ErrorMap, error_map
from shd.evaluation.peak_scores import PeakScores, score_matches, scores_by_fibre_count
from shd.evaluation.phantom_scores import match_phantom, scored_voxels
from shd.fodf.field import FodField
from shd.simulation.phantoms import Phantom

__all__ = ["Trial"]


@dataclass(frozen=True, eq=False)
class Trial:
    """Methods on one phantom. name: of the phantom, as a person reads it. fods: by the method's name."""

    name: str
    phantom: Phantom
    fods: Mapping[str, FodField]

    def scores(self, method: str, relative_threshold: float) -> tuple[PeakScores, PeakScores | None]:
        """Return the scores over all voxels and over those with two fibres (None where there are none).

        relative_threshold: share of the voxel's highest peak from which a peak counts, the same for every method.
        """
        matches = match_phantom(self.fods[method].wm, self.phantom, relative_threshold=relative_threshold)
        return score_matches(matches), scores_by_fibre_count(matches).get(2)

    def error_map(self, method: str, relative_threshold: float) -> ErrorMap:
        """Return where a method errs."""
        matches = match_phantom(self.fods[method].wm, self.phantom, relative_threshold=relative_threshold)
        return error_map(matches, scored_voxels(self.phantom))
