"""`shd simulate`: a scan whose truth is known."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

from shd.cli.early_checks import FAMILY_NAMES, PROTOCOL_NAMES, check_choice, check_files
from shd.cli.messages import tell, tell_command, tell_files
from shd.cli.results import output_folder, paths_of
from shd.errors import SimulationError, number_of

if TYPE_CHECKING:
    from shd.simulation.phantoms import Phantom

__all__ = ["simulate"]


def simulate(
    what: str = typer.Argument(
        help="Family: crossing, fanning, kissing, bending, tangle, challenge, brain; or a geometry file (.json)."
    ),
    out: Path = typer.Option(..., help="Folder for the scan and its truth; it appears when all is there."),
    protocol: str = typer.Option("research", help="research (3 shells), hardi (b=3000) or clinical (b=1000)."),
    bval: Path | None = typer.Option(None, help="FSL b-values (s/mm²) in place of a protocol, with --bvec."),
    bvec: Path | None = typer.Option(None, help="FSL gradient directions, along the axes of the simulated grid."),
    grad: Path | None = typer.Option(None, help="MRtrix gradient table (.b: x y z b) in place of a protocol."),
    snr: float = typer.Option(20.0, help="b=0 intensity over the noise's standard deviation in each channel."),
    noise_free: bool = typer.Option(False, "--noise-free", help="Without noise, in place of --snr."),
    coils: int = typer.Option(1, help="Coils: 1 is Rician noise, more is non-central chi."),
    voxel_size: float | None = typer.Option(None, help="Edge of cubic voxels, mm; by default 2."),
    shape: tuple[int, int, int] | None = typer.Option(None, help="Voxels along each axis; by default as needed."),
    affine: Path | None = typer.Option(None, help="Voxel → scanner mm: a text file of 4 × 4 numbers, or an image."),
    angle: float | None = typer.Option(None, help="Degrees, of crossing, fanning, kissing and bending."),
    bundles: int | None = typer.Option(None, help="How many, of tangle."),
    extent: float | None = typer.Option(None, help="Size in mm, of tangle (diameter) and brain (front to back)."),
    lesions: int | None = typer.Option(None, min=0, help="How many white-matter lesions to add; 0 writes empty masks."),
    lesion_radius: tuple[float, float] | None = typer.Option(None, help="Range of their radii, mm; 2 7."),
    rotate: bool = typer.Option(False, "--rotate", help="At a random orientation: grid and gradients turn together."),
    subsamples: int = typer.Option(4, help="Points of a voxel along each axis that its signal is the mean of."),
    seed: int = typer.Option(0, help="Seed of geometry and noise: the same seed, the same phantom."),
    force: bool = typer.Option(False, "--force", help="Replace results."),
) -> None:
    """Simulate a scan with exact truth: fibres, fODFs, tissues, bundles and their ends."""
    if Path(what).suffix == "" and not Path(what).is_file() and what not in FAMILY_NAMES:
        raise SimulationError(f"family {what!r}: give one of {', '.join(FAMILY_NAMES)}, or a geometry file (.json)")
    check_files(None if what in FAMILY_NAMES else Path(what), out=out, force=force)
    check_choice("--protocol", protocol, PROTOCOL_NAMES)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.simulate import gradients_of, plan_of, read_affine, write_simulation
    from shd.fitting.simulate import simulate as simulate_scan

    given = {"angle": angle, "bundles": bundles, "extent": extent}
    plan = plan_of(lesions, lesion_radius)
    files = paths_of(bval=bval, bvec=bvec, grad=grad, affine=affine)
    matrix, held = read_affine(affine) if affine is not None else (None, None)
    gradients = gradients_of(protocol, bval, bvec, grad, matrix)
    with output_folder(out, force, inputs=[what, *files.values()]) as folder, shown_progress() as report:
        phantom = simulate_scan(
            what, protocol=gradients, snr=None if noise_free else snr, coils=coils, seed=seed, subsamples=subsamples,
            voxel_mm=voxel_size, shape=shape or held, affine=matrix, lesions=plan, rotate=rotate, report=report,
            **given,
        )  # fmt: skip
        choices = {"what": what, "protocol": None if files.keys() & {"bval", "grad"} else protocol, **given, **files}
        lesioned: dict[str, Any] = {"lesions": None if plan is None else vars(plan), "rotate": rotate}
        names = write_simulation(folder, phantom, choices | lesioned, report)
    _announce(phantom, names, out)


def _announce(phantom: "Phantom", files: list[Path], out: Path) -> None:
    """Say what was simulated, what was written, and what may come next."""
    white = phantom.tissue_fractions[..., 0] > 0.5
    count = len(phantom.geometry.bundles)
    crossing = (phantom.fractions[white] >= 0.1).sum(axis=-1) > 1
    tell(
        f"{phantom.geometry.name}: {number_of(count, 'bundle')}, {number_of(int(white.sum()), 'voxel')} "
        f"more than half white matter, {int(crossing.sum())} of them with several bundles"
    )
    if phantom.lesion_fractions is not None:
        held = int((phantom.lesion_fractions >= 0.5).sum())
        tell(
            f"{number_of(len(phantom.lesions), 'lesion')}, {number_of(held, 'voxel')} at least half lesion: "
            "truth/lesion_mask.nii.gz"
        )
    tell_files(files, out)
    tell(f"look at {out / 'phantom.png'}; next, for example")
    scan, mask = quote(str(out / "dwi.nii.gz")), quote(str(out / "mask.nii.gz"))
    responses = " ".join(f"--{name} {quote(str(out / f'{name}.txt'))}" for name in _response_names(phantom))
    tell_command(f"shd fit {scan} --mask {mask} {responses} --out fit")


def _response_names(phantom: "Phantom") -> list[str]:
    """Return the tissues that a fit can tell apart: with one shell, white matter alone."""
    several = len(phantom.scan.gradients.weighted_shells) > 1
    return [response.tissue for response in phantom.responses if several or response.tissue == "wm"]
