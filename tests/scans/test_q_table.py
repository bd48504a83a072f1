"""The q-space points of a scan along its image's axes: which differ, how they are read, and resampled shells."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import GradientError, ScanError
from shd.io.scans import read_scan
from shd.models.pq.q_space import q_coordinates
from shd.scans.q_table import QTable, interpolation, q_signal, q_table
from shd.scans.scan import Scan
from shd.scans.voxels import Voxels
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere, normalised
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import random_rotation
from tests.support.affines import AFFINES, voxel_vectors
from tests.support.stored import store

ALONG = half_sphere(20)


def scan_of(affine, along=ALONG, bvalue=1000.0, b0=(0, 3), seed=0, name="scan"):
    """A random scan whose weighted volumes lie along given image axes; `b0`: places of the unweighted ones."""
    rng = np.random.default_rng(seed)
    directions, bvalues = np.zeros((len(along) + len(b0), 3)), np.zeros(len(along) + len(b0))
    weighted = np.setdiff1d(np.arange(len(bvalues)), b0)
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    directions[weighted], bvalues[weighted] = along @ columns.T, bvalue
    data = rng.uniform(50, 150, (5, 4, 3, len(bvalues))).astype(np.float32)
    mask = rng.random((5, 4, 3)) < 0.8
    return Scan(data, affine, gradient_table(bvalues, directions), mask, name)


@pytest.mark.parametrize("name", AFFINES)
def test_directions_are_those_along_the_image_in_every_geometry(name):
    scan = scan_of(AFFINES[name])
    table = q_table(scan)
    np.testing.assert_allclose(table.directions[1:], ALONG, atol=1e-12)
    weighted = np.setdiff1d(np.arange(22), [0, 3])
    expected = voxel_vectors(scan.gradients.directions[weighted], AFFINES[name])
    np.testing.assert_allclose(table.directions[1:], expected, atol=1e-12)
    whole = q_coordinates(scan.gradients, AFFINES[name]).numpy()[weighted]
    np.testing.assert_allclose(q_coordinates(table.gradients(), np.eye(4)).numpy()[1:], whole, atol=1e-12)


def test_the_points_are_the_mean_b0_and_the_weighted_volumes_over_one_scale():
    scan = scan_of(AFFINES["oblique"])
    signal = q_signal(scan)
    scale = np.mean([scan.data[..., volume][scan.mask].mean() for volume in (0, 3)])
    block = signal.block((1, 0, 1), (5, 3, 3))
    for voxel in np.ndindex(4, 3, 2):
        place = tuple(np.add(voxel, (1, 0, 1)))
        values = scan.data[place]
        expected = np.concatenate([[(values[0] + values[3]) / 2], np.delete(values, [0, 3])]) / scale
        np.testing.assert_allclose(block[(slice(None), *voxel)], expected if scan.mask[place] else 0.0, rtol=1e-5)


def test_a_table_equals_itself_rounded_or_with_opposite_signs_and_other_b0():
    table = q_table(scan_of(AFFINES["RAS"]))
    signs = np.where(np.arange(20) % 2, 1.0, -1.0)[:, None]
    rounded = q_table(scan_of(AFFINES["LAS"], normalised(np.round(ALONG * signs, 2)), 1004.0, b0=(5,)))
    assert table.difference(rounded) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"along": half_sphere(21)}, "21 weighted volumes instead of 20"),
        ({"bvalue": 1200.0}, "b = 1200 instead of 1000"),
        ({"along": ALONG[::-1]}, "directions up to .*° apart along the image's axes"),
    ],
)
def test_tables_that_differ_are_refused_with_what_differs_and_a_way_out(other, message):
    table = q_table(scan_of(AFFINES["RAS"]))
    with pytest.raises(GradientError, match=f"sub-2: another q-table than the network's: {message}.*--resample"):
        q_signal(scan_of(AFFINES["RAS"], name="sub-2", **other), table)


def shells(seed, counts=(34, 40)):
    """A table of two shells of random axes, evenly enough spread."""
    rng = np.random.default_rng(seed)
    directions = np.vstack([np.zeros(3), *(half_sphere(count) @ random_rotation(rng).T for count in counts)])
    return QTable(np.repeat([0.0, 1000.0, 2500.0], [1, *counts]), directions, Voxels((2.0, 2.0, 2.0), True))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_resampling_is_exact_for_band_limited_signals(seed):
    """Degrees to 4 on both shells: what is interpolated equals the signal measured along the other directions."""
    own, table = shells(seed), shells(seed + 1)
    coefficients = np.random.default_rng(seed).standard_normal((2, 15))

    def signal(of):
        values = np.full(len(of.bvalues), 3.0)
        for number, bvalue in enumerate((1000.0, 2500.0)):
            part = of.bvalues == bvalue
            values[part] = even_harmonics(of.directions[part], 4) @ coefficients[number]
        return values

    np.testing.assert_allclose(interpolation(own, table) @ signal(own), signal(table), atol=1e-9)


def test_a_resampled_scan_has_the_networks_points():
    table = q_table(scan_of(AFFINES["RAS"]))
    other = scan_of(AFFINES["oblique"], half_sphere(30) @ random_rotation(np.random.default_rng(2)).T)
    other.data[...] = 100.0
    signal = q_signal(other, table, resample=True)
    block = signal.block((0, 0, 0), (5, 4, 3))
    assert signal.table is table
    np.testing.assert_allclose(block[:, other.mask], 1.0, atol=1e-5)


def test_resampling_refuses_a_shell_that_the_scan_has_not():
    table = q_table(scan_of(AFFINES["RAS"], bvalue=3000.0))
    with pytest.raises(GradientError, match=r"no shell near the network's b = 3000 s/mm² \(the nearest is 1000\)"):
        q_signal(scan_of(AFFINES["RAS"]), table, resample=True)


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ((2.0, 2.0, 2.0), "voxels of 4 × 4 × 4 mm instead of the network's 2 × 2 × 2 mm; .* -voxel 2,2,2"),
        ((1.0, 1.0, 1.25), "voxels of 2 × 2 × 2.5 mm instead of the network's 2 × 2 × 2 mm"),
        ((1.0, 0.85, 1.0), "voxels of 2 × 1.7 × 2 mm instead of"),
        ((-1.0, 1.0, 1.0), "left-handed axes, the network's scans along right-handed ones.*-strides 1,2,3,4"),
        ((-2.0, 1.0, 1.0), "left-handed axes"),
    ],
)
def test_voxels_that_the_network_does_not_know_are_refused(scale, message, resample):
    """Of another size, or stored as in a mirror: the directions along the axes are the same."""
    table = q_table(scan_of(AFFINES["oblique"]))
    with pytest.raises(ScanError, match=f"sub-2: .*{message}"):
        q_signal(scan_of(AFFINES["oblique"] @ np.diag([*scale, 1.0]), name="sub-2"), table, resample)


def test_voxels_of_nearly_the_same_size_and_turned_grids_are_taken():
    table = q_table(scan_of(AFFINES["RAS"]))
    for affine in (AFFINES["oblique"] * 1.08, AFFINES["LPS"] * 0.92, AFFINES["RAS"]):
        assert q_signal(scan_of(affine), table).table is table


def test_a_network_of_left_handed_scans_says_how_to_store_others():
    table = q_table(scan_of(AFFINES["LAS"]))
    assert q_signal(scan_of(AFFINES["LAS"]), table).table is table
    with pytest.raises(ScanError, match=r"right-handed axes, the network's scans along left-handed.*-strides -1,2,3,4"):
        q_signal(scan_of(AFFINES["RAS"]), table)


@pytest.mark.mrtrix
@pytest.mark.skipif(not shutil.which("mrconvert"), reason="MRtrix3 is not installed")
def test_what_the_refusal_says_makes_the_scan_one_that_is_taken(tmp_path):
    """A scan stored left-right flipped, brought back by mrconvert as the message says."""
    wanted = scan_of(AFFINES["RAS"])
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = 4.0
    data = np.ascontiguousarray(wanted.data[::-1])
    flipped = Scan(data, wanted.affine @ flip, wanted.gradients, wanted.mask[::-1], "flipped")
    with pytest.raises(ScanError, match="mrconvert -strides 1,2,3,4 -fslgrad … -export_grad_fsl …"):
        q_signal(flipped, q_table(wanted))
    files = store(flipped, tmp_path / "flipped")
    dwi, bvec, bval, mask = (tmp_path / name for name in ("dwi.nii.gz", "dwi.bvec", "dwi.bval", "mask.nii.gz"))
    tables = ["-fslgrad", files["bvec"], files["bval"], "-export_grad_fsl", bvec, bval]
    subprocess.run(["mrconvert", "-quiet", files["dwi"], dwi, "-strides", "1,2,3,4", *tables], check=True)
    subprocess.run(["mrconvert", "-quiet", files["mask"], mask, "-strides", "1,2,3"], check=True)
    found, expected = q_signal(read_scan(dwi, mask=mask), q_table(wanted)), q_signal(wanted)
    np.testing.assert_allclose(found.block((0, 0, 0), (5, 4, 3)), expected.block((0, 0, 0), (5, 4, 3)), rtol=1e-5)
