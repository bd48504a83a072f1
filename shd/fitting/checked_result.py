"""A result as commands read it: with a warning where an fODF image seems to follow another program than MRtrix3."""

import shlex
import warnings
from pathlib import Path

from shd.errors import ShdWarning
from shd.fitting.convert import guess_basis_of
from shd.io.fit_folder import StoredFit, read_fit_folder
from shd.io.images import image_stem

__all__ = ["read_checked_result"]

_MRTRIX = "tournier07"  # DIPY's name of MRtrix3's basis


def read_checked_result(path: str | Path) -> StoredFit:
    """Return what `read_fit_folder` reads, with its errors.

    An image alone that does not state its basis is taken to be in MRtrix3's. Where its functions say clearly that it is
    not (`guess_basis`), a warning gives the figures and the command that converts it. Folders of fits state theirs.
    """
    stored = read_fit_folder(path)
    if not stored.path.is_dir() and "OrientationEncoding" not in stored.sidecars["wm"]:
        guess = guess_basis_of(stored.fod.wm)
        if guess.sure and guess.best != _MRTRIX:
            told = stored.path.with_name(f"{image_stem(stored.path)}_mrtrix3.nii.gz")
            command = shlex.join(["shd", "convert", str(path), str(told), "--from-basis", guess.best])
            warnings.warn(
                f"{stored.path.name}: read in MRtrix3's basis, as no sidecar states another, but it seems to be in "
                f"{guess.best}: {guess.words}; if so, directions are wrong: convert it first, {command}",
                ShdWarning,
                stacklevel=2,
            )
    return stored
