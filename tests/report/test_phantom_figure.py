import matplotlib.image
import numpy as np

from shd.report.phantom_figure import contact_sheet, phantom_figure, tissue_colours
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import CLINICAL
from tests.support.affines import AFFINES


def test_picture_shows_tissues_directions_and_fods(tmp_path):
    phantom = crossing_phantom(60.0, shape=(12, 12, 8), protocol=CLINICAL, affine=AFFINES["oblique"])
    phantom_figure(tmp_path / "phantom.png", phantom, "subtitle")
    image = matplotlib.image.imread(tmp_path / "phantom.png")[..., :3]
    assert image.shape[0] > 1000
    rows = np.split(
        image[int(0.12 * len(image)) : int(0.96 * len(image))], [int(0.28 * len(image)), int(0.56 * len(image))]
    )
    saturation = [np.mean(row.max(axis=-1) - row.min(axis=-1) > 0.25) for row in rows]
    assert saturation[1] > 0.05  # directions are coloured
    assert saturation[2] > 0.005  # and so are glyphs
    white = np.mean((np.abs(rows[0] - [0.95, 0.95, 0.92]) < 0.02).all(axis=-1))
    assert white > 0.01


def test_one_bundle_without_crossing_has_a_picture_too(tmp_path):
    phantom_figure(tmp_path / "one.png", single_bundle(np.array([1.0, 1.0, 0.2]), np.eye(4), protocol=CLINICAL))
    assert (tmp_path / "one.png").stat().st_size > 10_000


def test_tissues_are_mixed_by_their_shares():
    phantom = crossing_phantom(60.0, shape=(8, 8, 6), protocol=CLINICAL)
    colours = tissue_colours(phantom)
    fluid = phantom.tissue_fractions[..., 2] == 1.0
    assert (colours[fluid][:, 2] > 2 * colours[fluid][:, 0]).all()
    assert colours.min() >= 0
    assert colours.max() <= 1


def test_contact_sheet_has_a_column_for_each_phantom(tmp_path):
    phantoms = [crossing_phantom(60.0, shape=(8, 8, 6), protocol=CLINICAL, seed=seed) for seed in (0, 1)]
    contact_sheet(tmp_path / "two.png", phantoms)
    contact_sheet(tmp_path / "one.png", phantoms[:1])
    two, one = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("two", "one"))
    assert two.shape[1] == 2 * one.shape[1]
    assert two.shape[0] == one.shape[0]
