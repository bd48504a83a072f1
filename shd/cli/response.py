"""`shd response`: the response functions of a scan, or the mean of several scans', as MRtrix3 text files."""

import typer

from shd.cli.default_command import EstimateByDefault
from shd.cli.plain_help import PlainCommand
from shd.cli.response_estimate import estimate
from shd.cli.response_mean import mean

__all__ = ["response"]

response = typer.Typer(
    name="response",
    cls=EstimateByDefault,
    help="Estimate the response functions of a scan (shd response DWI …), or average those of several.",
)
response.command(cls=PlainCommand)(estimate)
response.command(cls=PlainCommand)(mean)
