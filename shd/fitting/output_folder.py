"""The folder of a result: it appears whole, or not at all."""

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shd.errors import OutputError, number_of
from shd.io.atomic import write_json

__all__ = ["OutputFolder", "check_free"]

_RECORDS = ("run.json", "simulation.json", "evaluation.json", "scores.json", "maps.json")
_INSIDE = ".partial"
_WRITTEN = "written"


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
    earlier = _earlier(out)
    if held and not (force and earlier):
        also = ", or --force" if earlier else ""
        but = ", and --force replaces nothing but an earlier result" if force else ""
        raise OutputError(
            f"{out}: holds {number_of(len(held), 'file')} already ({held[0]}, …){but}; give another {option}{also}"
        )


class OutputFolder:
    """A folder in the making: files go into `partial`, whence they take their place at once.

    Where `out` does not exist, `partial` is `<out>.partial` and becomes `<out>` by one rename. An existing `out` may be
    a mounted disk, so `partial` is inside it, and the files are renamed one by one, the record (run.json, or what a
    command has in its place) last. `publish` lists them in the record, under "written": these alone are ever replaced
    or removed. An interrupted fit leaves its checkpoint in `partial`, where the next run with the same `out` finds it.
    """

    def __init__(
        self,
        out: Path,
        force: bool = False,
        forget: bool | None = None,
        option: str = "--out",
        inputs: Iterable[Path] = (),
        adds: bool = False,
    ) -> None:
        """Make sure that results can be written. Raises OutputError where they cannot, or where `out` holds files.

        force: an earlier result may be replaced, but none of `inputs`, files or folders that the run reads. forget:
        whether a checkpoint goes; as `force` if None. option: by which a user chose the folder, for the messages.
        adds: files of an earlier result that the new one lacks stay.
        """
        self.out = Path(os.path.abspath(out))  # noqa: PTH100  (a name for the folder beside it; links stay links)
        try:
            check_free(out, force, option)
            inside, beside = self.out / _INSIDE, self.out.with_name(self.out.name + ".partial")
            self.partial = inside if self.out.is_dir() else beside
            self._earlier, self._adds = _earlier(self.out), adds
            self._check_inputs(inputs, option)
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
        """Give the finished files their place; return them, or their folders. An earlier result is replaced or removed.

        Raises OutputError where a file that is not of it is in the way, or one cannot be written; then the results stay
        in `partial`.
        """
        self.checkpoint.unlink(missing_ok=True)
        top = sorted(path.name for path in self.partial.iterdir())
        names = {path.relative_to(self.partial).as_posix() for path in self.partial.rglob("*") if path.is_file()}
        _list_in_record(self.partial, names | self._earlier if self._adds else names)
        try:
            if self.partial.parent == self.out:
                self._replace_earlier(names)
            else:
                self.partial.replace(self.out)
        except OSError as error:
            self._results_remain = True
            raise OutputError(
                f"{self.out}: cannot be written ({error.strerror}); the results are in {self.partial}"
            ) from error
        return [self.out / name for name in top]

    def _replace_earlier(self, names: set[str]) -> None:
        foreign = sorted(name for name in names - self._earlier if (self.out / name).exists())
        if foreign:
            self._results_remain = True
            raise OutputError(
                f"{self.out / foreign[0]}: is not of the earlier result, and not replaced; the results are in "
                f"{self.partial}"
            )
        # without its record a folder is not whole: it goes first and comes last
        gone = set(_RECORDS) & self._earlier if self._adds else self._earlier - names
        for name in sorted(gone | (set(_RECORDS) & self._earlier), key=_place):
            (self.out / name).unlink(missing_ok=True)
        for name in sorted(names, key=_place, reverse=True):
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            (self.partial / name).replace(self.out / name)
        shutil.rmtree(self.partial)

    def _check_inputs(self, inputs: Iterable[Path], option: str) -> None:
        """Raise OutputError where the earlier result is, or holds, what the run reads."""
        replaced = {self.out.resolve(), *((self.out / name).resolve() for name in self._earlier)}
        for path in inputs:
            if self._earlier and path.resolve() in replaced:
                raise OutputError(f"{path}: is read by this run, and --force would replace it; give another {option}")


def _place(name: str) -> tuple[bool, str]:
    """Order names with records first."""
    return name not in _RECORDS, name


def _earlier(out: Path) -> set[str]:
    """Return the files of an earlier result, also of one that was about to take its place."""
    return _written(out) or _written(out / _INSIDE)


def _written(folder: Path) -> set[str]:
    """Return the files, relative to the folder, that its record lists: those of a result, and of nobody else."""
    for name in _RECORDS:
        with suppress(OSError, ValueError, KeyError, TypeError):
            listed = json.loads((folder / name).read_text(encoding="utf-8"))[_WRITTEN]
            return {each for each in listed if not Path(each).is_absolute() and ".." not in Path(each).parts}
    return set()


def _list_in_record(folder: Path, names: set[str]) -> None:
    """Write the names into the record among the folder's files, if there is one."""
    record = next((folder / name for name in _RECORDS if (folder / name).is_file()), None)
    if record is not None:
        write_json(record, {**json.loads(record.read_text(encoding="utf-8")), _WRITTEN: sorted(names)})
