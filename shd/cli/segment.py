"""`shd segment`: label every voxel of raw diffusion scans: train, predict, evaluate."""

import typer

from shd.cli.plain_help import PlainCommand, PlainGroup
from shd.cli.segment_evaluate import evaluate
from shd.cli.segment_predict import predict
from shd.cli.segment_train import train

__all__ = ["segment"]

segment = typer.Typer(
    name="segment",
    cls=PlainGroup,
    help="Label voxels (lesions, tissues) from raw scans by networks equivariant in p- and q-space.",
    no_args_is_help=True,
)

for _command in (train, predict, evaluate):
    segment.command(cls=PlainCommand)(_command)
