"""How commands are told the gradient table, the mask and the bad voxels of a scan."""

from typing import Any

import typer

__all__ = ["BVAL", "BVEC", "GRAD", "IGNORE_BAD_VOXELS", "MASK"]

BVAL: Any = typer.Argument(None, help="FSL b-values (s/mm²); by default beside the scan, or in the .mif.")
BVEC: Any = typer.Argument(None, help="FSL gradient directions; by default the .bvec beside the scan.")
GRAD: Any = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec.")
MASK: Any = typer.Option(None, help="Brain mask; computed if not given.")
IGNORE_BAD_VOXELS: Any = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels.")
