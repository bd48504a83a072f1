"""A cohort on disk that is quick to infer: small scans, and a network of width 2 hardly trained."""

from pathlib import Path

import shd
from shd.io.checkpoints import write_model
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.settings import FitSettings
from tests.support.affines import AFFINES
from tests.support.stored import store

PROTOCOL = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
SHAPE = (6, 6, 4)


def store_cohort(folder: Path, names: tuple[str, ...]) -> Path:
    """Write a scan for each name, and a table of them; return the table."""
    lines = ["name\tdwi\tmask"]
    for seed, name in enumerate(names):
        phantom = crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINES["oblique"], seed=seed)
        files = store(phantom.scan, folder / name)
        lines.append("\t".join([name, *(str(files[key].relative_to(folder)) for key in ("dwi", "mask"))]))
    (folder / "cohort.tsv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.tsv"


def store_model(path: Path) -> Path:
    """Write a network for scans of `PROTOCOL`."""
    phantom = crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINES["oblique"])
    settings = FitSettings(steps=1, width=2, tile=4, threads=1, device="cpu")
    result = shd.fit(phantom.scan, phantom.responses, settings)
    write_model(path, result.model, result.responses)
    return path
