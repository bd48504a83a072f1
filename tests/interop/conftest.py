"""Results of the acceptance matrix, made once for every test that looks at them."""

import pytest
from dipy.core.sphere import HemiSphere
from dipy.data import get_sphere

import shd
from shd.fitting.export import FORMATS, export, read_source
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from tests.interop.matrix import SETTINGS, read, simulated


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Return a function that gives a cell's output folder; the first cell's network serves them all."""
    place = tmp_path_factory.mktemp("matrix")
    first = shd.fit(read(place / "first", "RAS", "fsl"), simulated("RAS").responses, SETTINGS)
    folder = OutputFolder(place / "fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shd.fitting.outputs.fit_figure", lambda path, **content: None)
        write_fit(folder, simulated("RAS").scan, first, {})

    def of_cell(affine, convention):
        out = place / f"{affine}-{convention}"
        if not out.exists():
            scan = read(place / "scans" / out.name, affine, convention)
            result = shd.infer(scan, place / "fit" / "model.safetensors", tile=4, device="cpu", threads=1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("shd.fitting.outputs.fit_figure", lambda path, **content: None)
                write_fit(OutputFolder(out), scan, result, {})
        return out

    return of_cell


@pytest.fixture(scope="session")
def exports(results):
    """Return a function that gives the folder of a cell's exports, in every format."""

    def of_cell(affine, convention):
        folder = results(affine, convention) / "export"
        if not folder.exists():
            formats = [name for name in FORMATS if name != "bids"]
            export(read_source(results(affine, convention)), formats, folder)
        return folder

    return of_cell


@pytest.fixture(scope="session")
def fine_sphere():
    """Directions 1° apart: DIPY answers with one of these, whatever the fODF."""
    return HemiSphere.from_sphere(get_sphere(name="repulsion724")).subdivide(n=3)
