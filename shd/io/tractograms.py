"""Tractograms as polylines in scanner millimetres: MRtrix3 .tck and TrackVis .trk."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.streamlines.tractogram_file import DataError, HeaderError

from shd.errors import ScanError
from shd.evaluation.tractogram_scores import Streamlines

__all__ = ["read_streamlines"]


def read_streamlines(path: str | Path) -> Streamlines:
    """Return the streamlines of a .tck or .trk file, in scanner RAS mm whatever the file's own frame.

    Raises ScanError for a file that is missing, damaged, of another kind or without streamlines.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"{path}: no such file; check the path")
    try:
        lines = nib.streamlines.load(path).streamlines
    except (DataError, HeaderError, ValueError, TypeError, OSError, EOFError) as error:
        raise ScanError(f"{path.name}: not a readable tractogram ({error}); give a .tck or .trk file") from None
    if len(lines) == 0:
        raise ScanError(f"{path.name}: 0 streamlines; was tracking successful?")
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    points = np.concatenate([np.asarray(line, dtype=np.float32) for line in lines])
    if not np.isfinite(points).all():
        raise ScanError(
            f"{path.name}: {int((~np.isfinite(points)).any(axis=1).sum())} of {len(points)} points are "
            "NaN or infinite; track again"
        )
    return Streamlines(points, lengths)
