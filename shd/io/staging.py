"""Files of one result in a folder that holds others': they appear together, or none does."""

import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from shd.errors import OutputError

__all__ = ["staged_files"]


@contextmanager
def staged_files(dest: str | Path, name: str | None = None, whole_folders: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty folder; what is below it when the block ends without an error takes the same place below `dest`.

    Folders are made as needed, and files of the same names are replaced. On an error in the block `dest` is as it was.
    whole_folders: names, below `dest`, of folders that replace those there with all that they hold, when the files are
    in their places. name: of what is written, if only one process at a time writes it: what it left where it was killed
    is then removed by the next. Raises OutputError where `dest` cannot be written.
    """
    dest = Path(dest)
    made = [folder for folder in (dest, *dest.parents) if not folder.exists()]
    stage = dest / f".partial-{name or uuid.uuid4().hex[:8]}"
    try:
        if stage.exists():
            shutil.rmtree(stage)
        stage.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{dest}: cannot be written ({error.strerror}); choose another folder") from error
    published = False
    try:
        yield stage
        published = True
        _move(stage, dest, whole_folders)
    except OutputError as error:
        raise OutputError(str(error).replace(str(stage), str(dest))) from error
    except OSError as error:
        raise OutputError(f"{dest}: cannot be written ({error.strerror}); is the disk full?") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if not published:
            for folder in made:
                if not any(folder.iterdir()):
                    folder.rmdir()


def _move(stage: Path, dest: Path, whole_folders: Collection[str]) -> None:
    """Give what is below `stage` its place below `dest`."""
    folders = [stage / name for name in whole_folders if (stage / name).is_dir()]
    files = sorted(path for path in stage.rglob("*") if not path.is_dir() and not set(folders) & set(path.parents))
    for path in files:
        final = dest / path.relative_to(stage)
        final.parent.mkdir(parents=True, exist_ok=True)
        path.replace(final)
    for folder in folders:
        final, before = dest / folder.relative_to(stage), stage / f".replaced-{folder.name}"
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.replace(before)  # removed with the stage
        try:
            folder.replace(final)
        except OSError:
            if before.exists():
                before.replace(final)
            raise
