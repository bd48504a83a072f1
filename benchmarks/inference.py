"""Whole-volume deconvolution: voxels a second by `shd`, by published patches and by MRtrix3, with the same threads.

    python -m benchmarks.inference [--side 32] [--patches 200] [--threads 2]

The volume repeats a simulated crossing. shd: `shd.inference.tiled.deconvolve`, first estimate and harmonics included,
with the network of a fit and with one of the published widths. Published: the U-Net of the published widths on a 3³
patch a voxel (padded to 4³, since it pools voxels once), the network alone, on some of the voxels. MRtrix3: `dwi2fod
msmt_csd`, files included; its memory is its process's. The networks have random weights, which changes no time.
"""

import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution
from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Work
from benchmarks.harness.entry import option_parser, prepare, show, store
from benchmarks.harness.timing import Patience
from benchmarks.layer_systems import FAST_ENGINES
from benchmarks.published.patches import deploy_patches
from benchmarks.published.unet import PublishedUNet
from shd.engines import set_engine
from shd.fitting.budget import default_settings
from shd.graphs.hemisphere import vertex_count, vertex_directions
from shd.inference.tiled import deconvolve
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import estimate_scan
from shd.scans.features import feature_count
from shd.scans.normalisation import NormalisedScan, normalise
from shd.scans.scan import Scan
from shd.signal.response import Response
from shd.simulation import crossing_phantom

COLUMNS = (tables.RATE, tables.MEMORY)
DEGREE = 8
_PATIENCE = Patience(seconds=3.0, least=3, most=60.0)


def repeated_phantom(side: int) -> tuple[Scan, tuple[Response, ...]]:
    """Return a crossing phantom repeated to side³ voxels, all in the mask, and its responses."""
    phantom = crossing_phantom()
    times = [-(-side // count) for count in phantom.scan.shape]
    data = np.tile(phantom.scan.data, (*times, 1))[:side, :side, :side]
    return replace(phantom.scan, data=data, mask=np.ones((side,) * 3, dtype=bool)), phantom.responses


def networks(responses: tuple[Response, ...], scan: Scan) -> dict[str, ModelConfig]:
    """Return the network of a fit and one of the published widths, by their names."""
    settings = default_settings(int(scan.mask.sum()))
    published = ModelConfig(feature_count(responses, scan.gradients), tuple(r.tissue for r in responses), width=32)
    own = replace(
        published, width=settings.width, levels=settings.levels, spatial_poolings=settings.spatial_poolings,
        normalisation=settings.normalisation,
    )  # fmt: skip
    return {f"width {own.width}, {own.levels} levels": own, "published widths": published}


def tiled_case(
    name: str, config: ModelConfig, engine: str, bfloat16: bool, scan: NormalisedScan, responses: tuple[Response, ...]
) -> Case:
    """Return the row of shd's inference on one engine."""

    def build() -> Work:
        model = Deconvolver(config).eval()
        set_engine(model, engine)
        return Work(
            call=lambda: deconvolve(model, scan, responses, degree=DEGREE, bfloat16=bfloat16),
            amount=float(len(scan.b0)),
        )

    return Case(f"shd {engine}, {name}{', bfloat16' if bfloat16 else ''}", build)


def estimate_case(scan: NormalisedScan, responses: tuple[Response, ...]) -> Case:
    """Return the row of the first estimate, which is part of the others of shd."""
    vertices = vertex_directions(ModelConfig(1).nside)
    work = Work(call=lambda: estimate_scan(scan, responses, vertices), amount=float(len(scan.b0)))
    return Case("shd, first estimate alone", lambda: work)


def patch_case(config: ModelConfig, patches: int, batch: int = 8) -> Case:
    """Return the row of the published network, a patch a voxel, on `patches` voxels of random features."""

    def build() -> Work:
        network = PublishedUNet(config).eval()
        generator = torch.Generator().manual_seed(0)
        side = 10
        volume = torch.randn(vertex_count(config.nside), config.input_channels, side, side, side, generator=generator)
        voxels = torch.randint(side, (patches, 3), generator=generator)
        factor = config.spatial_factor
        return Work(
            call=lambda: deploy_patches(network, volume, voxels, batch=batch, factor=factor), amount=float(patches)
        )

    return Case("published SHD, a patch a voxel", build)


def mrtrix_case(scan: Scan, responses: tuple[Response, ...], threads: int) -> Case:
    """Return the row of MRtrix3's `dwi2fod msmt_csd`."""

    def build() -> Work:
        if not mrtrix_installed():
            raise ImportError("MRtrix3's dwi2fod is not on the PATH")
        os.environ["MRTRIX_NTHREADS"] = str(threads)
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kB on Linux
        return Work(
            call=lambda: multi_tissue_deconvolution(scan, responses, degree=DEGREE),
            amount=float(scan.mask.sum()),
            memory=lambda: resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit,
        )

    return Case(f"MRtrix3 msmt_csd, degree {DEGREE}", build)


def main(options: Sequence[str] = ()) -> None:
    """Print a row a method."""
    parser = option_parser(__doc__)
    parser.add_argument("--side", type=int, default=32, help="of the volume in voxels")
    parser.add_argument("--patches", type=int, default=200, help="voxels that the published network answers")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    raw, responses = repeated_phantom(arguments.side)
    scan, configs = normalise(raw), networks(responses, raw)
    cases = [patch_case(configs["published widths"], arguments.patches), estimate_case(scan, responses)]
    cases += [
        tiled_case(name, config, engine, half, scan, responses)
        for name, config in configs.items()
        for engine in FAST_ENGINES
        for half in (False, True)
    ]
    cases.append(mrtrix_case(raw, responses, arguments.threads))
    title = f"Inference, {arguments.side}³ voxels, {raw.data.shape[3]} volumes, {arguments.threads} threads"
    store(arguments, {title: show(title, cases, COLUMNS, patience=_PATIENCE)})


if __name__ == "__main__":
    main(sys.argv[1:])
