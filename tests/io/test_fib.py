"""DSI Studio's file, read back by scipy: grid, order and axes by its rules, whatever grid we had."""

import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from shd.errors import ScanError
from shd.fodf.peaks import Peaks
from shd.io.fib import lps_affine, read_fib, write_fib
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.rotations import grid_rotation
from tests.interop.known_fods import GRIDS

SHAPE = (3, 4, 5)
frames = pytest.mark.parametrize("frame", GRIDS)


def peaks(count=2):
    rng = np.random.default_rng(0)
    amplitudes = -np.sort(-rng.uniform(0.1, 1.0, (*SHAPE, count)), axis=-1)
    amplitudes[1, 2, 3, 1:] = 0
    directions = normalised(rng.standard_normal((*SHAPE, count, 3))) * (amplitudes > 0)[..., None]
    return Peaks(directions.astype(np.float32), amplitudes.astype(np.float32))


def loaded(path):
    with gzip.open(path) as file:
        return loadmat(file)


@frames
def test_each_voxel_is_where_it_was_and_points_where_it_did(tmp_path, frame):
    """By hand: the place in mm of every voxel of the file, and the scanner direction of what stands there."""
    write_fib(tmp_path / "a.fib.gz", peaks(), GRIDS[frame], "x")
    held = loaded(tmp_path / "a.fib.gz")
    lps, _ = lps_affine(GRIDS[frame], SHAPE)
    assert "".join(nib.aff2axcodes(lps)) == "LPS"
    sizes = held["dimension"].ravel()
    back = np.linalg.inv(GRIDS[frame]) @ lps
    for number, place in enumerate(itertools.product(*(range(size) for size in sizes[::-1]))):
        x, y, z = place[::-1]  # x runs fastest
        old = tuple(np.rint(back @ [x, y, z, 1])[:3].astype(int))
        for peak in range(2):
            height = held[f"fa{peak}"].ravel()[number]
            assert height == peaks().amplitudes[old][peak]
            if height > 0:
                direction = grid_rotation(lps) @ held[f"dir{peak}"][:, number]
                assert axial_angle(direction[None], peaks().directions[old][peak][None].astype(float))[0] < 1e-3


@frames
def test_round_trip(tmp_path, frame):
    write_fib(tmp_path / "a.fib.gz", peaks(), GRIDS[frame], "x")
    lps, change = lps_affine(GRIDS[frame], SHAPE)
    read = read_fib(tmp_path / "a.fib.gz", lps)
    np.testing.assert_array_equal(read.amplitudes, nib.orientations.apply_orientation(peaks().amplitudes, change))
    moved = nib.orientations.apply_orientation(peaks().directions, change).astype(float)
    present = read.amplitudes > 0
    assert axial_angle(read.directions[present].astype(float), moved[present]).max() < 1e-3


def test_the_index_is_the_nearest_vertex(tmp_path):
    write_fib(tmp_path / "a.fib.gz", peaks(), GRIDS["oblique"], "what made it")
    held = loaded(tmp_path / "a.fib.gz")
    vertices = held["odf_vertices"].T
    nearest = np.abs(held["dir0"].T @ vertices.T).max(axis=1)
    chosen = np.abs(np.sum(held["dir0"].T * vertices[held["index0"].ravel()], axis=1))
    np.testing.assert_allclose(chosen, nearest, atol=1e-6)
    assert np.degrees(np.arccos(chosen.min())) < 4.0


def test_types_and_shapes_are_those_dsi_studio_reads(tmp_path):
    write_fib(tmp_path / "a.fib.gz", peaks(), GRIDS["permuted"], "what made it")
    held = loaded(tmp_path / "a.fib.gz")
    count = np.prod(SHAPE)
    assert held["fa0"].shape == held["index0"].shape == (1, count) and held["dir1"].shape == (3, count)
    assert held["fa0"].dtype == held["dir0"].dtype == np.float32
    assert held["index0"].dtype == np.int16 and held["odf_faces"].dtype == np.uint16
    assert held["report"][0] == "what made it" and "trans" not in held
    np.testing.assert_allclose(np.sort(held["voxel_size"].ravel()), [2.0, 2.2, 2.5], rtol=1e-6)
    faces, vertices = held["odf_faces"].T, held["odf_vertices"].T
    assert len(faces) == 2 * len(vertices) - 4  # Euler: the triangles close the sphere
    assert loaded(tmp_path / "a.fib.gz")["fa1"].ravel().min() == 0


def test_without_directions_the_vertices_serve(tmp_path):
    matrices = {
        "dimension": [[1, 1, 1]], "fa0": np.array([[0.5]]), "index0": np.array([[1]], np.int16),
        "odf_vertices": np.array([[1.0, 0.0], [0.0, 0.6], [0.0, 0.8]]),
    }  # fmt: skip
    with gzip.open(tmp_path / "a.fib.gz", "wb") as file:
        savemat(file, matrices, format="4")
    read = read_fib(tmp_path / "a.fib.gz", np.diag([-1.0, -1.0, 1.0, 1.0]))
    np.testing.assert_allclose(read.directions.ravel(), [0.0, -0.6, 0.8], atol=1e-6)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.fib.gz").write_bytes(gzip.compress(b"nothing of the kind"))
    with pytest.raises(ScanError, match=r"a\.fib\.gz: not a readable \.fib\.gz"):
        read_fib(tmp_path / "a.fib.gz", np.eye(4))
