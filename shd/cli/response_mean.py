"""`shd response mean`: the response of a group of scans."""

from pathlib import Path

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell

__all__ = ["mean"]


def mean(
    responses: list[Path] = typer.Argument(
        help="Response files of one tissue, or folders with response_wm.txt (and response_gm.txt, response_csf.txt)."
    ),
    out: Path = typer.Option(..., help="File for the mean; of folders, a folder."),
    force: bool = typer.Option(False, "--force", help="Replace files that exist."),
) -> None:
    """Average responses, each brought to the group's intensity first: amplitudes fitted with the mean compare."""
    check_files(*responses)
    from shd.errors import OutputError
    from shd.fitting.response_average import mean_responses
    from shd.io.atomic import check_absent
    from shd.io.responses import write_response

    means = mean_responses(responses)
    folder = responses[0].is_dir()
    paths = {r.tissue: out / f"response_{r.tissue}.txt" if folder else out for r in means}
    check_absent(paths.values(), force)
    try:
        (out if folder else out.parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: folder cannot be made ({error.strerror}); choose another --out") from error
    for each in means:
        write_response(paths[each.tissue], each)
        shells = ", ".join(f"{bvalue:.0f}" for bvalue in each.bvalues)
        tell(f"{paths[each.tissue]}: {each.tissue}, mean of {len(responses)}, b = {shells}")
    options = " ".join(f"--{tissue} {path}" for tissue, path in paths.items())
    tell(f"give it to every scan of the group: shd fit … {options}")
