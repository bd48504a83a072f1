"""Response functions as MRtrix3 text files: a row a shell, zonal coefficients l = 0, 2, 4, … in columns."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shd.errors import ResponseError, ShdWarning, number_of
from shd.io.atomic import whole_file
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.response import TISSUES, Response
from shd.signal.response_average import SHELL_TOLERANCE
from shd.signal.response_estimation import b0_coefficient

__all__ = [
    "read_given_responses", "read_response", "read_response_folder", "read_stored_response", "write_response",
]  # fmt: skip

_SHELLS_COMMENT = "# Shells:"


def read_response(
    path: str | Path,
    tissue: str,
    gradients: Gradients,
    signal: Float[np.ndarray, "voxel volume"] | None = None,
) -> Response:
    """Return the response of a text file at the scan's shells.

    Rows are matched by the `# Shells:` comment, within 80 s/mm²; shells that the scan has not are left out. Without
    the comment there must be a row for each shell. `dwi2response tournier` writes the shell's row alone: the b=0
    coefficient is then taken from the scan's most single-fibre-like voxels, for which `signal` (`data[mask]`) is
    needed. Columns of zeros after l=0 are dropped from grey matter and CSF.

    Raises: ResponseError if the file cannot be read, or if its b-values do not agree with the scan's (both are named).
    """
    file = Path(path)
    bvalues, rows = _read_rows(file)
    scan = np.array([shell.bvalue for shell in gradients.shells])
    if bvalues is None:
        bvalues = _bvalues_by_count(file, len(rows), scan)
    nearest = np.argmin(np.abs(bvalues[:, None] - scan), axis=0)
    matched = np.abs(bvalues[nearest] - scan) <= SHELL_TOLERANCE
    if not matched[1:].all() or (not matched[0] and len(scan) != 2):
        raise ResponseError(
            f"{file}: response for b = {_listed(bvalues)} but the scan has b = {_listed(scan)}; "
            "give a response for these shells, or none to have it estimated"
        )
    coefficients = rows[nearest]
    if not matched[0]:
        if signal is None:
            raise ResponseError(
                f"{file}: response for b = {_listed(bvalues)} has no b=0 row (scan: b = {_listed(scan)}); "
                "add one, first, with the mean b=0 signal of white matter times 3.5449"
            )
        coefficients[0] = 0.0
        coefficients[0, 0] = b0_coefficient(signal, gradients, rows[nearest[1]])
    return Response(tissue, scan, _tissue_columns(file, tissue, coefficients))


def read_stored_response(path: str | Path, tissue: str | None = None) -> Response:
    """Return the response of a text file at the shells of its own `# Shells:` comment, without a scan.

    tissue: "wm", "gm" or "csf"; if None, the one that the file's name holds as a word (response_gm.txt, sub-1_csf.txt),
    and white matter where it holds none and the response has a direction. Columns as in `read_response`. Raises
    ResponseError where the file cannot be read, names no shells, or its tissue cannot be told.
    """
    file = Path(path)
    bvalues, rows = _read_rows(file)
    if bvalues is None:
        raise ResponseError(
            f"{file}: {number_of(len(rows), 'row')}, for shells it does not name; name all {len(rows)} by a line '# "
            "Shells: 0,…'"
        )
    if tissue is None:
        tissue = _tissue_by_name(file, directed=bool(rows[:, 1:].any()))
    return Response(tissue, bvalues, _tissue_columns(file, tissue, rows))


def read_response_folder(folder: str | Path) -> tuple[Response, ...]:
    """Return the responses that a fit or `shd response` left in a folder, white matter first.

    Raises ResponseError where there is no response_wm.txt, or one of the files cannot be read.
    """
    files = {tissue: Path(folder) / f"response_{tissue}.txt" for tissue in TISSUES}
    if not files["wm"].is_file():
        raise ResponseError(f"{folder}: no response_wm.txt; give the folder that shd fit, infer or response wrote")
    return tuple(read_stored_response(file, tissue) for tissue, file in files.items() if file.is_file())


def write_response(path: str | Path, response: Response) -> None:
    """Write the response for MRtrix3: `# Shells:` comment, then a row a shell, b=0 first. The file appears whole.

    Raises: OutputError if the file cannot be written.
    """
    shells = ",".join(f"{bvalue:.0f}" for bvalue in response.bvalues)
    lines = [f"{_SHELLS_COMMENT} {shells}"]
    lines += [" ".join(f"{value:.10g}" for value in row) for row in response.coefficients]
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_rows(file: Path) -> tuple[Float[np.ndarray, " shell"] | None, Float[np.ndarray, "shell even_degree"]]:
    """Return the b-values of the comment, if there is one, and the matrix."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResponseError(f"{file}: response cannot be read ({error}); give an MRtrix text file") from error
    try:
        comments = [line.removeprefix(_SHELLS_COMMENT) for line in lines if line.startswith(_SHELLS_COMMENT)]
        numbers = [[float(word) for word in line.split("#")[0].replace(",", " ").split()] for line in lines]
        bvalues = np.array([float(word) for word in comments[-1].replace(",", " ").split()]) if comments else None
    except ValueError as error:
        raise ResponseError(f"{file}: not a response ({error}); give an MRtrix text file") from error
    numbers = [row for row in numbers if row]
    widths = sorted({len(row) for row in numbers})
    if len(widths) != 1:
        raise ResponseError(f"{file}: rows of {widths or 'no'} coefficients; each shell needs as many as the others")
    rows = np.array(numbers)
    if bvalues is not None and len(bvalues) != len(rows):
        raise ResponseError(
            f"{file}: {number_of(len(bvalues), 'b-value')} ({_listed(bvalues)}) in the comment but "
            f"{number_of(len(rows), 'row')}; correct either"
        )
    return bvalues, rows


def _tissue_by_name(file: Path, directed: bool) -> str:
    """Return the tissue that the file's name holds as a word, or white matter for a response with a direction."""
    named = [tissue for tissue in TISSUES if tissue in re.split(r"[^a-z]+", file.name.lower())]
    if len(named) == 1:
        return named[0]
    if directed:
        return "wm"
    raise ResponseError(
        f"{file}: isotropic, and its name holds {len(named)} of the words {', '.join(TISSUES)}; name it after its "
        "tissue, such as response_gm.txt"
    )


def _bvalues_by_count(file: Path, rows: int, scan: Float[np.ndarray, " shell"]) -> Float[np.ndarray, " row"]:
    """Return the b-values that a file without comment must mean."""
    if rows == len(scan):
        return scan
    if rows == 1 and len(scan) == 2:
        return scan[1:]
    raise ResponseError(
        f"{file}: {number_of(rows, 'row')}, for shells it does not name, but the scan has {len(scan)}: b = "
        f"{_listed(scan)}; give a response for these shells, or name the file's by a line '# Shells: 0,…'"
    )


def _tissue_columns(
    file: Path, tissue: str, coefficients: Float[np.ndarray, "shell even_degree"]
) -> Float[np.ndarray, "shell degree_kept"]:
    """Return the columns that the tissue has, having checked that they look like it."""
    directed = coefficients[:, 1:]
    if tissue == "wm":
        if not directed.any():
            raise ResponseError(f"{file}: white matter's response has only l=0; is this grey matter's or CSF's file?")
        if directed[-1, 0] >= 0:
            warnings.warn(
                f"{file}: white matter's l=2 coefficient is {directed[-1, 0]:.4g} at the highest shell; along a fibre "
                "the signal is lower, which makes it negative. Is the fibre along z?",
                ShdWarning,
                stacklevel=3,
            )
        return coefficients
    if directed.any():
        raise ResponseError(
            f"{file}: {tissue} response of degree {2 * directed.shape[1]}; this tissue is isotropic (l=0 only). "
            "Is this white matter's file?"
        )
    return coefficients[:, :1]


def _listed(bvalues: Float[np.ndarray, " shell"]) -> str:
    return ", ".join(f"{bvalue:.0f}" for bvalue in bvalues)


def read_given_responses(paths: Mapping[str, Path | None], scan: Scan) -> tuple[Response, ...] | None:
    """Return the responses whose paths are not None, white matter first; None where no path is given.

    paths: by tissue. Raises ResponseError where other tissues are given without white matter.
    """
    given = {tissue: path for tissue, path in paths.items() if path is not None}
    if not given:
        return None
    if "wm" not in given:
        raise ResponseError(
            f"{number_of(len(given), 'response')} given ({', '.join(given)}) but none of white matter; add --wm, or "
            "give none"
        )
    signal = scan.data[scan.mask].astype(np.float32)
    responses = tuple(read_response(path, tissue, scan.gradients, signal) for tissue, path in given.items())
    _warn_if_exchanged({response.tissue: response for response in responses})
    return responses


def _warn_if_exchanged(responses: Mapping[str, Response]) -> None:
    """Warn where grey matter's response decays faster than CSF's, in which water diffuses freely."""
    if not {"gm", "csf"} <= responses.keys():
        return
    grey, csf = (_apparent_diffusivity(responses[tissue]) for tissue in ("gm", "csf"))
    if grey > csf:
        warnings.warn(
            f"grey matter's response decays as if by {1e3 * grey:.2g}e-3 mm²/s, faster than CSF's by "
            f"{1e3 * csf:.2g}e-3 mm²/s (b = {_listed(responses['gm'].bvalues[:2])}); are --gm and --csf exchanged?",
            ShdWarning,
            stacklevel=4,
        )


def _apparent_diffusivity(response: Response) -> float:
    """Return in mm²/s how fast the mean signal falls from b=0 to the lowest shell."""
    low, high = np.maximum(response.coefficients[:2, 0], 1e-30)
    return float(np.log(low / high) / (response.bvalues[1] - response.bvalues[0]))
