"""PAM5 files: DIPY's own loader gives back what was written, and its functions find the directions."""

import numpy as np
import pytest
from dipy.io.peaks import load_pam
from dipy.reconst.shm import sh_to_sf_matrix

from shd.errors import SettingsError
from shd.fodf.frames import to_voxel_axes
from shd.fodf.peaks import find_peaks
from shd.io.pam5 import functions, write_pam5
from shd.sphere.bases import DIPY_BASES, change_basis, dipy_arguments
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import grid_rotation
from tests.interop.known_fods import GRIDS, SHAPE, scattered_fibres

AFFINE = GRIDS["oblique LAS"]
legacy_warning = pytest.mark.filterwarnings("ignore:The legacy:PendingDeprecationWarning")


@pytest.fixture(scope="module")
def fods():
    field, axes = scattered_fibres()
    field[0, 0, 0] = 0
    mask = np.ones(SHAPE, bool)
    mask[1, 1, 1] = False
    return field, axes, mask


@pytest.fixture(scope="module", params=DIPY_BASES)
def written(request, fods, tmp_path_factory):
    field, _, mask = fods
    path = tmp_path_factory.mktemp("pam") / "wm.pam5"
    peaks = find_peaks(field[mask]).on_grid(mask)
    write_pam5(path, field, peaks, AFFINE, mask, "repulsion100", request.param)
    return request.param, load_pam(str(path))


def test_peaks_are_in_voxel_axes(written, fods):
    pam, (_, axes, mask) = written[1], fods
    inside = mask.copy()
    inside[0, 0, 0] = False
    in_scanner = pam.peak_dirs[..., 0, :] @ grid_rotation(AFFINE).T
    np.testing.assert_allclose(np.abs(np.sum(in_scanner * axes, axis=-1))[inside], 1.0, atol=1e-6)
    np.testing.assert_allclose(pam.peak_values[..., 0][inside], 1.0, rtol=1e-5)
    np.testing.assert_allclose(pam.affine, AFFINE)


def test_indices_are_the_nearest_vertices_and_minus_one_where_absent(written, fods):
    pam, (_, _, mask) = written[1], fods
    assert pam.peak_indices.dtype == np.int32
    assert (pam.peak_indices[0, 0, 0] == -1).all() and (pam.peak_indices[~mask] == -1).all()
    present = pam.peak_values > 0
    chosen = np.sum(pam.sphere.vertices[pam.peak_indices[present]] * pam.peak_dirs[present], axis=-1)
    np.testing.assert_allclose(
        np.abs(chosen), np.abs(pam.peak_dirs[present] @ pam.sphere.vertices.T).max(axis=1), atol=1e-6
    )


@legacy_warning
def test_harmonics_and_b_are_those_of_the_basis(written, fods):
    basis, pam = written
    field, _, mask = fods
    expected = change_basis(to_voxel_axes(field, AFFINE) * mask[..., None], "mrtrix3", basis)
    np.testing.assert_allclose(pam.shm_coeff, expected, atol=1e-5)
    name, legacy = dipy_arguments(basis)
    theirs, _ = sh_to_sf_matrix(pam.sphere, sh_order_max=8, basis_type=name, legacy=legacy)
    np.testing.assert_allclose(pam.B, theirs, atol=1e-6)


def test_b_gives_the_function_at_the_vertices(written, fods):
    pam, (field, _, mask) = written[1], fods
    ours = field[mask] @ even_harmonics(pam.sphere.vertices @ grid_rotation(AFFINE).T, 8).T
    np.testing.assert_allclose(pam.shm_coeff[mask] @ pam.B, ours, atol=1e-5)


def test_functions_of_the_mrtrix3_basis_are_the_harmonics():
    np.testing.assert_allclose(functions("mrtrix3", half_sphere(9), 4), even_harmonics(half_sphere(9), 4))


def test_gfa_is_deviation_over_root_mean_square(fods, tmp_path):
    """Tuch's definition, by values all over the sphere; zero outside the mask, whatever is there."""
    field, _, mask = fods
    field = np.where(mask[..., None], field, np.float32(np.nan))
    values = field[2, 2, 2:4].astype(float) @ even_harmonics(half_sphere(20000), 8).T
    expected = values.std(axis=1) / np.sqrt(np.mean(values**2, axis=1))
    peaks = find_peaks(field[mask]).on_grid(mask)
    write_pam5(tmp_path / "a.pam5", field, peaks, AFFINE, mask, "repulsion100", "tournier07")
    found = load_pam(str(tmp_path / "a.pam5")).gfa
    np.testing.assert_allclose(found[2, 2, 2:4], expected, atol=1e-3)
    assert found[0, 0, 0] == 0 and found[1, 1, 1] == 0


def test_an_unknown_sphere_is_named(fods, tmp_path):
    field, _, mask = fods
    with pytest.raises(SettingsError, match=r"sphere ball: unknown; give one of .*repulsion724"):
        write_pam5(
            tmp_path / "a.pam5", field, find_peaks(field[mask]).on_grid(mask), AFFINE, mask, "ball", "tournier07"
        )
    assert not list(tmp_path.iterdir())
