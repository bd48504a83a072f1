"""`shd simulate` as a user runs it: what it writes and says, every option, and one line where something cannot be."""

import json

import nibabel as nib
import numpy as np
import pytest

import shd
from shd.errors import SimulationError
from shd.io.gradients import write_fsl
from shd.io.images import write_image
from shd.io.phantoms import read_truth
from shd.io.scans import read_scan
from shd.simulation.lesions import LesionPlan
from shd.sphere.directions import axial_angle, half_sphere
from tests.support.affines import AFFINES

QUICK = ("--protocol", "clinical", "--voxel-size", "4")


def run(*arguments):
    """Run the program; return its exit code."""
    from shd.cli.main import run as run_program

    with pytest.raises(SystemExit) as end:
        run_program(["simulate", *(str(argument) for argument in arguments)])
    return end.value.code


def read(folder):
    return read_scan(folder / "dwi.nii.gz", folder / "dwi.bval", folder / "dwi.bvec", mask=folder / "mask.nii.gz")


def test_a_family_is_written_with_its_truth_and_what_to_do_next(tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert run("crossing", "--angle", "75", *QUICK, "--snr", "30", "--seed", "3", "--out", out) == 0
    said = capsys.readouterr().out
    assert "crossing 75°: 2 bundles" in said
    assert f"wrote 12 files in {out}" in " ".join(said.split())
    assert "shd fit" in said
    assert "--gm" not in said  # one shell cannot tell tissues apart
    assert (out / "phantom.png").stat().st_size > 10_000
    record = json.loads((out / "simulation.json").read_text())
    assert record["noise"]["snr"] == 30
    assert record["choices"]["angle"] == 75
    truth = read_truth(out)
    both = (truth.fractions > 0.3).all(axis=-1)
    angles = axial_angle(*np.moveaxis(truth.directions[both].astype(float), 1, 0))
    np.testing.assert_allclose(angles, 75, atol=6)
    np.testing.assert_array_equal(
        read(out).data,
        shd.simulate("crossing", angle=75.0, voxel_mm=4.0, snr=30.0, seed=3, protocol="clinical").scan.data,
    )


def test_a_geometry_file_is_simulated_on_any_grid_with_any_gradients(tmp_path):
    content = {
        "fiber_geometries": {"x": {"control_points": [-20, 0, 0, 20, 0, 0], "radius": 3, "parallel": 2e-3}},
        "isotropic_regions": {"drop": {"center": [0, 6, 0], "radius": 4}},
    }
    (tmp_path / "my.json").write_text(json.dumps(content))
    affine = AFFINES["oblique"].copy()
    affine[:3, 3] = -affine[:3, :3] @ [4.5, 4.5, 4.5]
    np.savetxt(tmp_path / "affine.txt", affine)
    directions = np.vstack([np.zeros(3), half_sphere(12)])
    bvalues = np.r_[0.0, np.full(12, 2000.0)]
    write_fsl(tmp_path / "g.bval", tmp_path / "g.bvec", bvalues, directions, affine)
    np.savetxt(tmp_path / "g.b", np.c_[directions, bvalues])
    place = ("--affine", tmp_path / "affine.txt", "--shape", "10", "10", "10", "--noise-free")
    gradients = (("--bval", tmp_path / "g.bval", "--bvec", tmp_path / "g.bvec"), ("--grad", tmp_path / "g.b"))
    for number, table in enumerate(gradients):
        assert run(tmp_path / "my.json", *place, *table, "--out", tmp_path / str(number)) == 0
    first, second = (read(tmp_path / str(number)) for number in range(2))
    np.testing.assert_allclose(first.affine, affine, atol=1e-5)
    np.testing.assert_allclose(first.gradients.directions, directions, atol=1e-6)
    np.testing.assert_allclose(first.data, second.data, atol=1e-3)
    truth = read_truth(tmp_path / "0")
    held = truth.fractions[..., 0] > 0.9
    assert axial_angle(truth.directions[held][:, 0].astype(float), np.array([[1.0, 0, 0]])).max() < 0.1
    assert truth.tissue_fractions[..., 2].max() == 1.0
    assert "parallel" in (tmp_path / "0" / "simulation.json").read_text()


@pytest.mark.parametrize("name", ["grid.nii.gz", "grid.mif"])
def test_an_image_lends_its_affine_and_shape(tmp_path, name):
    affine = np.array([[3.0, 0, 0, -12], [0, 3, 0, -10], [0, 0, 3, -9], [0, 0, 0, 1]])
    write_image(tmp_path / name, [np.zeros((9, 8, 7), np.float32)], (9, 8, 7), affine, None)
    out = tmp_path / "out"
    assert run("bending", "--affine", tmp_path / name, "--protocol", "clinical", "--out", out) == 0
    scan = read(out)
    assert scan.shape == (9, 8, 7)
    np.testing.assert_array_equal(scan.affine, affine)


def test_the_same_seed_is_the_same_file(tmp_path):
    for name in ("a", "b"):
        assert run("tangle", "--bundles", "3", "--extent", "20", *QUICK, "--coils", "4", "--out", tmp_path / name) == 0
    for file in ("dwi.nii.gz", "truth/fod.nii.gz", "simulation.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_lesions_are_written_with_their_fractions_and_mask(tmp_path, capsys):
    size = ("--extent", "90", "--voxel-size", "3", "--protocol", "clinical", "--subsamples", "2", "--seed", "2")
    out = tmp_path / "out"
    assert run("brain", *size, "--lesions", "4", "--lesion-radius", "4", "6", "--rotate", "--out", out) == 0
    assert "4 lesions, " in capsys.readouterr().out
    shares = nib.load(out / "truth" / "lesions.nii.gz").get_fdata()
    mask = nib.load(out / "truth" / "lesion_mask.nii.gz")
    np.testing.assert_array_equal(mask.get_fdata(), shares >= 0.5)
    assert mask.get_data_dtype() == np.int16 and mask.get_fdata().sum() > 5
    again = shd.simulate(
        "brain", extent=90.0, voxel_mm=3.0, protocol="clinical", subsamples=2, seed=2, rotate=True,
        lesions=LesionPlan(4, radius_mm=(4.0, 6.0)),
    )  # fmt: skip
    np.testing.assert_allclose(shares, again.lesion_fractions, atol=1e-6)
    np.testing.assert_array_equal(read(out).data, again.scan.data)
    record = json.loads((out / "simulation.json").read_text())
    assert record["choices"]["rotate"] and record["choices"]["lesions"]["count"] == len(record["lesions"]) == 4
    assert len(read_truth(out).mask) == 30


def test_no_lesions_asked_for_is_an_empty_mask_and_none_no_file(tmp_path):
    for name, more in (("none", ()), ("zero", ("--lesions", "0"))):
        assert run("crossing", *QUICK, *more, "--out", tmp_path / name) == 0
    assert not nib.load(tmp_path / "zero" / "truth" / "lesion_mask.nii.gz").get_fdata().any()
    assert not (tmp_path / "none" / "truth" / "lesions.nii.gz").exists()


def test_force_replaces_a_phantom_and_nothing_else_does(tmp_path):
    out = tmp_path / "out"
    assert run("kissing", *QUICK, "--out", out) == 0
    assert run("fanning", *QUICK, "--out", out) == 2
    assert "kissing" in (out / "simulation.json").read_text()
    assert run("fanning", *QUICK, "--out", out, "--force") == 0
    assert "fanning" in (out / "simulation.json").read_text()
    assert len(read_truth(out).mask) == 12


BAD = [
    (("knot",), "family 'knot': give one of crossing, fanning"),
    (("nothing.json",), "nothing.json: no such file"),
    (("crossing", "--snr", "0"), "snr 0: the signal-to-noise ratio is above 0"),
    (("crossing", "--snr", "-5"), "snr -5"),
    (("crossing", "--coils", "0"), "coils 0"),
    (("crossing", "--angle", "95"), "angle_degrees 95"),
    (("crossing", "--bundles", "3"), "crossing: bundles 3 cannot be chosen"),
    (("crossing", "--lesion-radius", "2", "3"), "radii 2 to 3 mm of 0 lesions"),
    (("crossing", "--lesions", "3", "--lesion-radius", "3", "2"), "lesions of 3 to 2 mm radius"),
    (("crossing", "--protocol", "fast"), "--protocol fast: give one of research, hardi, clinical"),
    (("crossing", "--voxel-size", "0"), "voxel size 0 mm"),
    (("crossing", "--voxel-size", "0.01"), "4000 × 4000 × 2000 voxels"),
    (("crossing", "--bval", "a.bval"), "a.bval alone: FSL gradients are a pair"),
    (("crossing", "--grad", "g.b", "--bval", "a.bval"), "both g.b and FSL files"),
    (("crossing", "--grad", "g.b"), "g.b: no such file"),
    (("crossing", "--affine", "none.txt"), "none.txt: not an affine"),
    (("bad.json",), "bad.json: bundle x: unknown key 'colour'"),
    (("far.json", "--shape", "5", "5", "5"), "bundle x, from [-20.0, 90.0, 0.0] to [20.0, 90.0, 0.0] mm, lies outside"),
    (("far.json", "--angle", "30"), "angle can be chosen of a family, not of a geometry file"),
    (("far.json", "--affine", "affine.txt"), "an affine without shape"),
    (
        ("far.json", "--affine", "affine.txt", "--shape", "5", "5", "5", "--voxel-size", "2"),
        "an affine and a voxel size of 2 mm",
    ),
    (("crossing", "--affine", "short.txt"), "short.txt: 1 row of 3 numbers; an affine has 4 of 4"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    far = {"control_points": [-20, 90, 0, 20, 90, 0], "radius": 3, "ends": "chord"}
    (tmp_path / "far.json").write_text(json.dumps({"fiber_geometries": {"x": far}}))
    (tmp_path / "bad.json").write_text(json.dumps({"fiber_geometries": {"x": {**far, "colour": 1}}}))
    np.savetxt(tmp_path / "affine.txt", np.eye(4))
    (tmp_path / "short.txt").write_text("1 2 3\n")
    assert run(*arguments, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["affine.txt", "bad.json", "far.json", "short.txt"]


def test_in_python_a_geometry_or_a_protocol_object_will_do():
    from shd.simulation.bending import bending_geometry
    from shd.simulation.protocols import CLINICAL

    phantom = shd.simulate(bending_geometry(60.0), protocol=CLINICAL, voxel_mm=4.0, snr=None)
    assert phantom.scan.name == "bending 60°"
    with pytest.raises(SimulationError, match="protocol 'x'"):
        shd.simulate("bending", protocol="x")
