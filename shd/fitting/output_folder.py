"""The folder of a result: it appears whole, or not at all."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from shd.errors import OutputError

__all__ = ["OutputFolder", "check_free"]

_IMAGES = ("wm_fod", "gm", "csf", "peaks", "mask", "intensity_field")
_INSIDE = ".partial"
_RECORD = "run.json"
_RESULTS = (
    *(name + ending for name in _IMAGES for ending in (".nii.gz", ".json")),
    *(f"response_{tissue}.txt" for tissue in ("wm", "gm", "csf")),
    "model.safetensors",
    "fit.png",
    "log.csv",
    "loss.png",
)


def check_free(out: Path, force: bool = False, option: str = "--out") -> None:
    """Raise OutputError where `out` is a file, or a folder with files that may not be replaced; nothing is made.

    force, option: as in `OutputFolder`.
    """
    try:
        if out.exists() and not out.is_dir():
            raise OutputError(f"{out}: is a file; give a folder that does not exist yet")
        held = sorted(path.name for path in out.iterdir() if path.name != _INSIDE) if out.is_dir() else []
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another {option}") from error
    if held and not force:
        raise OutputError(f"{out}: holds {len(held)} files already ({held[0]}, …); give another {option}, or --force")


class OutputFolder:
    """A folder in the making: files go into `partial`, whence they take their place at once.

    Where `out` does not exist, `partial` is `<out>.partial` and becomes `<out>` by one rename. An existing `out` may be
    a mounted disk, so `partial` is inside it, and the files are renamed one by one, run.json last. An interrupted fit
    leaves its checkpoint in `partial`, where the next run with the same `out` finds it.
    """

    def __init__(
        self, out: Path, force: bool = False, forget: bool | None = None, option: str = "--out"
    ) -> None:
        """Make sure that results can be written. Raises OutputError where they cannot, or where `out` holds files.

        force: results may be replaced. forget: whether a checkpoint goes; as `force` if None. option: by which a user
        chose the folder, for the messages.
        """
        self.out = Path(os.path.abspath(out))  # noqa: PTH100  (a name for the folder beside it; links stay links)
        try:
            check_free(out, force, option)
            inside, beside = self.out / _INSIDE, self.out.with_name(self.out.name + ".partial")
            self.partial = inside if self.out.is_dir() else beside
            self._results_remain = False
            self._made = [folder for folder in self.partial.parents if not folder.exists()]
            self.partial.mkdir(parents=True, exist_ok=True)
            self._clear(keep_checkpoint=not (force if forget is None else forget))
            probe = self.partial / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another {option}") from error

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted fit is taken up again."""
        return self.partial / "checkpoint.safetensors"

    def _clear(self, keep_checkpoint: bool) -> None:
        """Empty `partial`: a run that was killed may have left half its files there."""
        for path in self.partial.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != self.checkpoint or not keep_checkpoint:
                path.unlink()

    def discard(self) -> None:
        """Remove what is not finished, and the folders made for it; keep a checkpoint, and results without a place."""
        if self._results_remain or not self.partial.exists():
            return
        self._clear(keep_checkpoint=True)
        if not self.checkpoint.exists():
            with suppress(OSError):  # another program may have put something there
                for folder in (self.partial, *self._made):
                    folder.rmdir()

    def publish(self) -> list[Path]:
        """Give the finished files their place; return them. Files of an earlier result are replaced or removed."""
        self.checkpoint.unlink(missing_ok=True)
        names = sorted((path.name for path in self.partial.iterdir()), key=lambda name: (name == _RECORD, name))
        try:
            if self.partial.parent == self.out:
                # without run.json a folder is not whole: it goes first and comes last
                for name in (_RECORD, *_RESULTS):
                    if name == _RECORD or name not in names:
                        (self.out / name).unlink(missing_ok=True)
                for name in names:
                    if (self.out / name).is_dir():  # a folder does not replace a folder that holds files
                        shutil.rmtree(self.out / name)
                    (self.partial / name).replace(self.out / name)
                self.partial.rmdir()
            else:
                self.partial.replace(self.out)
        except OSError as error:
            self._results_remain = True
            raise OutputError(
                f"{self.out}: cannot be written ({error.strerror}); the results are in {self.partial}"
            ) from error
        return [self.out / name for name in sorted(names)]
