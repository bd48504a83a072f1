"""The mean response of files, or of the folders of several fits."""

from collections.abc import Sequence
from pathlib import Path

from shd.errors import ResponseError, number_of
from shd.io.responses import read_response_folder, read_stored_response
from shd.signal.response import Response
from shd.signal.response_average import mean_response

__all__ = ["mean_responses"]


def mean_responses(paths: Sequence[Path]) -> tuple[Response, ...]:
    """Return the mean of response files of one tissue, or the means of every tissue of folders, white matter first.

    paths: all files, or all folders that hold response_wm.txt (and response_gm.txt, response_csf.txt), such as those of
    `shd fit`. Raises ResponseError where they are mixed, fewer than two, unreadable, or cannot be averaged; the message
    names the file.
    """
    if len(paths) < 2:
        raise ResponseError(
            f"{number_of(len(paths), 'response')}: a mean needs at least 2; give those of the other scans too"
        )
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return (_mean_of_files(paths, [read_stored_response(path) for path in paths]),)
    if len(folders) != len(paths):
        raise ResponseError(
            f"{number_of(len(folders), 'folder')} and {number_of(len(paths) - len(folders), 'file')}: give either alone"
        )
    read = [{response.tissue: response for response in read_response_folder(path)} for path in paths]
    for path, tissues in zip(paths, read, strict=True):
        if tissues.keys() != read[0].keys():
            raise ResponseError(
                f"{path}: responses of {', '.join(tissues)} but {paths[0]} has {', '.join(read[0])}; average folders "
                "with the same tissues"
            )
    return tuple(
        _mean_of_files([path / f"response_{tissue}.txt" for path in paths], [tissues[tissue] for tissues in read])
        for tissue in read[0]
    )


def _mean_of_files(paths: Sequence[Path], responses: Sequence[Response]) -> Response:
    """Return the mean, with the files that do not fit named where there is none."""
    for path, response in zip(paths[1:], responses[1:], strict=True):
        try:
            mean_response([responses[0], response])
        except ResponseError as error:
            raise ResponseError(f"{path} beside {paths[0]}: {error}") from None
    return mean_response(responses)
