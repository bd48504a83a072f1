"""Where a network's file is: by the name of a packaged one, the folder of a fit or a training, or its own path."""

from pathlib import Path

from shd.errors import CheckpointError

__all__ = ["PACKAGED", "model_file"]

PACKAGED = ("base", "small")
"""Networks that come with the package, for any protocol: docs/pretrained.md."""

_WEIGHTS = Path(__file__).parents[1] / "weights"
_IN_FOLDER = "model.safetensors"


def model_file(model: str | Path, packaged: tuple[str, ...] = PACKAGED) -> Path:
    """Return the file of a network, which is there.

    model: one of `packaged`, a file, or a folder that shd fit or a training wrote. Raises CheckpointError where there
    is no such file, with what could be given.
    """
    if str(model) in packaged:
        return _WEIGHTS / f"{model}.safetensors"
    path = Path(model)
    if path.is_dir():
        if not (path / _IN_FOLDER).is_file():
            raise CheckpointError(f"{path}: a folder without {_IN_FOLDER}; give that of a fit or a training")
        return path / _IN_FOLDER
    if not path.is_file():
        names = f"{' or '.join(packaged)}, " if packaged else ""
        raise CheckpointError(f"{model}: no such network; give {names}a {_IN_FOLDER}, or the folder that holds one")
    return path
