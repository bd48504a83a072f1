"""Commands that take a result further."""

from pathlib import Path
from shlex import quote

__all__ = ["next_steps"]


def next_steps(folder: Path) -> tuple[str, ...]:
    """Return commands for the folder of a result, paths quoted: to view it, and to track in it."""
    fod, mask = quote(str(folder / "wm_fod.nii.gz")), quote(str(folder / "mask.nii.gz"))
    anatomy = quote(str(folder / "b0.nii.gz")) if (folder / "b0.nii.gz").is_file() else fod
    return (
        f"mrview {anatomy} -odf.load_sh {fod}",
        f"tckgen {fod} tracks.tck -seed_image {mask} -mask {mask} -select 10000 -cutoff 0.2",
        f"shd track {quote(str(folder))} --out tracks.trx",
    )
