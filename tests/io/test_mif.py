"""MRtrix3 images: what mrconvert wrote we read, what we write mrconvert reads, and what is damaged is refused."""

import gzip
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from shd.errors import GradientError, ScanError
from shd.io.fodf import read_fod, write_fod
from shd.io.images import read_with_sidecar, write_image
from shd.io.mif import read_mif, write_mif
from shd.io.scans import read_scan
from tests.interop.known_fods import GRIDS

SHAPE = (2, 3, 4, 5)
mrtrix = [
    pytest.mark.mrtrix,
    pytest.mark.skipif(shutil.which("mrconvert") is None, reason="MRtrix3 programs are not installed"),
]


def run(*words):
    ran = subprocess.run([*map(str, words), "-quiet"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def numbers():
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) % 201


def at_same_places(read, data, affine):
    """Whether an image holds at every place in the scanner what data (on another grid of the same voxels) hold."""
    to_index = np.linalg.inv(affine) @ read.affine
    index = np.indices(read.data.shape[:3]).reshape(3, -1)
    places = np.rint(to_index[:3, :3] @ index + to_index[:3, 3:]).astype(int)
    np.testing.assert_array_equal(read.data[tuple(index)], data[tuple(places)])


def header(*lines, data=b"", ending=b"END\n"):
    """A file by hand; its data begin right behind the header."""
    text = "mrtrix image\n" + "".join(f"{line}\n" for line in lines)
    offset = len(text) + len("file: . 1234\n") + len(ending)
    return text.encode() + f"file: . {offset:04d}\n".encode() + ending + data


PLAIN = ("dim: 2,1,1", "vox: 1,1,1", "layout: +0,+1,+2", "datatype: Float32LE")


@pytest.mark.parametrize("name", ["a.mif", "a.mif.gz"])
@pytest.mark.parametrize("frame", GRIDS)
def test_round_trip_with_sidecar(tmp_path, frame, name):
    sidecar = {"OrientationEncoding": {"Reference": "xyz"}, "Note": "of two words: and more", "Numbers": np.arange(2)}
    write_image(tmp_path / name, list(np.moveaxis(numbers(), -1, 0)), SHAPE, GRIDS[frame], sidecar)
    data, affine, read = read_with_sidecar(tmp_path / name)
    np.testing.assert_array_equal(data, numbers())
    np.testing.assert_allclose(affine, GRIDS[frame], atol=1e-8)
    assert read["OrientationEncoding"] == {"Reference": "xyz"} and read["Note"] == "of two words: and more"
    assert read["Numbers"] == [0, 1] and read["GeneratedBy"][0]["Name"] == "shd"
    assert not (tmp_path / "a.json").exists()


def test_fods_are_written_and_read_as_mif(tmp_path):
    fods = np.random.default_rng(0).standard_normal((2, 3, 4, 15)).astype(np.float32)
    write_fod(tmp_path / "wm.mif", fods, GRIDS["permuted"])
    read, affine, sidecar = read_fod(tmp_path / "wm.mif")
    np.testing.assert_array_equal(read, fods)
    np.testing.assert_allclose(affine, GRIDS["permuted"], atol=1e-8)
    assert sidecar["OrientationEncoding"]["SphericalHarmonicDegree"] == 4


@pytest.mark.parametrize("layout", ["+0,+1,+2", "-2,+0,-1", "+1,-2,+0"])
@pytest.mark.parametrize("stored", ["<i2", ">i2", "<f8", ">f4", "u1"])
def test_layouts_and_number_types_by_definition(tmp_path, layout, stored):
    ranks = [int(word) for word in layout.split(",")]
    values = np.arange(24).reshape(2, 3, 4)
    strides = [0] * 3  # in numbers, by counting up from the fastest axis
    step = 1
    for axis in sorted(range(3), key=lambda axis: abs(ranks[axis])):
        strides[axis] = step
        step *= values.shape[axis]
    disk = np.zeros(24, stored)
    for index in np.ndindex(2, 3, 4):
        backwards = [word.startswith("-") for word in layout.split(",")]
        place = [size - 1 - i if back else i for i, size, back in zip(index, values.shape, backwards, strict=True)]
        disk[int(np.dot(place, strides))] = values[index]
    kind = {"i": "Int", "u": "UInt", "f": "Float"}[np.dtype(stored).kind] + str(8 * np.dtype(stored).itemsize)
    kind += {"<": "LE", ">": "BE"}.get(stored[0], "")
    lines = ("dim: 2,3,4", "vox: 1,2,3", f"layout: {layout}", f"datatype: {kind}")
    (tmp_path / "a.mif").write_bytes(header(*lines, data=disk.tobytes()))
    read = read_mif(tmp_path / "a.mif")
    np.testing.assert_array_equal(read.data, values)
    assert read.data.dtype.isnative


def test_without_a_transform_the_middle_of_the_volume_is_the_origin(tmp_path):
    lines = ("dim: 3,1,5", "vox: 1,2,3", "layout: +0,+1,+2", "datatype: UInt8")
    (tmp_path / "a.mif").write_bytes(header(*lines, data=bytes(15)))
    affine = read_mif(tmp_path / "a.mif").affine
    np.testing.assert_allclose(affine @ [1, 0, 2, 1], [0, 0, 0, 1], atol=1e-12)


def test_scaling_is_applied(tmp_path):
    data = np.array([1, 2], "<i2").tobytes()
    lines = (*PLAIN[:3], "datatype: Int16LE", "scaling: 10,0.5")
    (tmp_path / "a.mif").write_bytes(header(*lines, data=data))
    assert read_mif(tmp_path / "a.mif").data.ravel().tolist() == [10.5, 11.0]


def test_gradients_are_kept(tmp_path):
    table = np.array([[0, 0, 0, 0], [0.6, -0.8, 0, 1000], [0, 0, 1, 2000.5], [1, 0, 0, 5], [0, 1, 0, 7]])
    write_mif(tmp_path / "a.mif", list(np.moveaxis(numbers(), -1, 0)), SHAPE, np.eye(4), None, table)
    np.testing.assert_allclose(read_mif(tmp_path / "a.mif").gradients("a.mif"), table)
    write_mif(tmp_path / "b.mif", list(np.moveaxis(numbers(), -1, 0)), SHAPE, np.eye(4))
    assert read_mif(tmp_path / "b.mif").gradients("b.mif") is None


@pytest.mark.parametrize(
    "rows", [("dw_scheme: 0,0,one,0",), ("dw_scheme: 0,0,1",), ("dw_scheme: 0,0,1,9", "dw_scheme: 1")]
)
def test_a_scheme_that_is_no_table_is_refused(tmp_path, rows):
    (tmp_path / "a.mif").write_bytes(header(*PLAIN, *rows, data=bytes(8)))
    with pytest.raises(GradientError, match=r"a\.mif: its dw_scheme"):
        read_mif(tmp_path / "a.mif").gradients("a.mif")


@pytest.mark.parametrize("name", ["a.mif", "a.mif.gz"])
def test_a_file_cut_short_is_refused(tmp_path, name):
    write_mif(tmp_path / name, list(np.moveaxis(numbers(), -1, 0)), SHAPE, np.eye(4))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-40])
    with pytest.raises(ScanError, match="damaged or cut short" + (": 440 of 480 bytes" if name == "a.mif" else "")):
        read_mif(tmp_path / name)


def test_a_packed_file_whose_content_is_short_is_refused(tmp_path):
    (tmp_path / "a.mif.gz").write_bytes(gzip.compress(header(*PLAIN, data=bytes(5))))
    with pytest.raises(ScanError, match="5 of 8 bytes"):
        read_mif(tmp_path / "a.mif.gz")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "does not begin with 'mrtrix image'"),
        (b"PNG and so on", "does not begin with 'mrtrix image'"),
        (header(*PLAIN, data=bytes(8), ending=b"")[:-8], "no END"),
        (header(*PLAIN[:3], "datatype: CFloat32LE", data=bytes(16)), "CFloat32LE, but 1 real number"),
        (header(PLAIN[0], *PLAIN[2:], data=bytes(8)), "cannot be understood"),
        (header("dim: 2,1", *PLAIN[1:], data=bytes(8)), "cannot be understood"),
        (header("dim: 2,1,0", *PLAIN[1:], data=bytes(8)), "3 or more axes"),
        (header("dim: 2,x,1", *PLAIN[1:], data=bytes(8)), "cannot be understood"),
        (header(*PLAIN[:2], "layout: +0,+0,+2", PLAIN[3], data=bytes(8)), "cannot be understood"),
        (header(*PLAIN, data=bytes(8)).replace(b"file: . ", b"file: d "), "in another file"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content, message):
    (tmp_path / "a.mif").write_bytes(content)
    with pytest.raises(ScanError, match=message):
        read_mif(tmp_path / "a.mif")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScanError, match=r"a\.mif: no such file"):
        read_mif(tmp_path / "a.mif")


class TestWithMrtrix:
    pytestmark = mrtrix

    @pytest.mark.parametrize("frame", ["LAS", "oblique LAS", "permuted"])
    @pytest.mark.parametrize("strides", ["1,2,3,4", "2,-3,4,1", "-4,1,-2,3"])
    @pytest.mark.parametrize(
        "kind, ending", [("int16be", "mif"), ("float64le", "mif.gz"), ("uint8", "mif"), ("bit", "mif")]
    )
    def test_what_mrconvert_wrote_is_read(self, tmp_path, frame, strides, kind, ending):
        nib.save(nib.Nifti1Image(numbers(), GRIDS[frame]), tmp_path / "a.nii")
        run("mrconvert", tmp_path / "a.nii", tmp_path / f"a.{ending}", "-strides", strides, "-datatype", kind)
        expected = numbers() != 0 if kind == "bit" else numbers()
        at_same_places(read_mif(tmp_path / f"a.{ending}"), expected, GRIDS[frame])

    @pytest.mark.parametrize("name", ["a.mif", "a.mif.gz"])
    @pytest.mark.parametrize("frame", GRIDS)
    def test_mrconvert_reads_what_we_wrote(self, tmp_path, frame, name):
        table = np.column_stack([np.zeros((5, 2)), np.ones(5), [0, 1000, 1000, 2000, 3000]])
        write_mif(tmp_path / name, list(np.moveaxis(numbers(), -1, 0)), SHAPE, GRIDS[frame], {"Key": [1]}, table)
        run("mrconvert", tmp_path / name, tmp_path / "back.nii", "-export_grad_mrtrix", tmp_path / "grad.b")
        back = nib.load(tmp_path / "back.nii")
        np.testing.assert_allclose(back.affine, GRIDS[frame], atol=1e-5)
        np.testing.assert_array_equal(np.asarray(back.dataobj), numbers())
        np.testing.assert_allclose(np.loadtxt(tmp_path / "grad.b"), table, atol=1e-6)
        assert sorted(run("mrinfo", tmp_path / name, "-size").split()) == ["2", "3", "4", "5"]  # along scanner axes
        assert run("mrinfo", tmp_path / name, "-property", "Key").strip() == "[1]"

    def test_a_scan_in_mif_is_the_scan_in_nifti(self, tmp_path):
        rng = np.random.default_rng(0)
        data = rng.uniform(50, 100, (5, 4, 3, 13)).astype(np.float32)
        bvecs = np.column_stack([np.zeros(3), np.linalg.qr(rng.standard_normal((12, 3)))[0].T])
        bvecs = np.divide(bvecs, np.linalg.norm(bvecs, axis=0), where=bvecs.any(axis=0), out=np.zeros_like(bvecs))
        nib.save(nib.Nifti1Image(data, GRIDS["oblique LAS"]), tmp_path / "dwi.nii")
        nib.save(nib.Nifti1Image(np.ones(data.shape[:3], np.uint8), GRIDS["oblique LAS"]), tmp_path / "mask.nii")
        np.savetxt(tmp_path / "dwi.bvec", bvecs)
        np.savetxt(tmp_path / "dwi.bval", [[0, *[1000] * 12]])
        table = ["-fslgrad", tmp_path / "dwi.bvec", tmp_path / "dwi.bval"]
        run("mrconvert", tmp_path / "dwi.nii", tmp_path / "other.mif", *table, "-strides", "-4,2,3,1")
        run("mrconvert", tmp_path / "mask.nii", tmp_path / "mask.mif", "-datatype", "bit")
        nifti = read_scan(tmp_path / "dwi.nii", mask=tmp_path / "mask.nii")
        mif = read_scan(tmp_path / "other.mif", mask=tmp_path / "mask.mif")
        np.testing.assert_allclose(mif.gradients.directions, nifti.gradients.directions, atol=1e-5)
        np.testing.assert_array_equal(mif.gradients.bvalues, nifti.gradients.bvalues)
        at_same_places(read_mif(tmp_path / "other.mif"), nifti.data, nifti.affine)
        assert mif.mask.all() and mif.name == "other"


def test_a_scheme_of_another_length_is_refused(tmp_path):
    table = np.tile([0.0, 0.0, 1.0, 1000.0], (4, 1))
    write_mif(tmp_path / "dwi.mif", list(np.moveaxis(numbers(), -1, 0)), SHAPE, np.eye(4), None, table)
    with pytest.raises(ScanError, match=r"5 volumes \(dwi\.mif\) but 4 b-values \(dwi\.mif\)"):
        read_scan(tmp_path / "dwi.mif")


def test_a_mif_without_scheme_asks_for_a_table(tmp_path):
    """FSL files beside it do not count: along which axes they go, a .mif does not tell."""
    write_mif(tmp_path / "dwi.mif", list(np.moveaxis(numbers(), -1, 0)), SHAPE, np.eye(4))
    (tmp_path / "dwi.bval").touch()
    (tmp_path / "dwi.bvec").touch()
    with pytest.raises(GradientError, match=r"dwi\.mif has no dw_scheme, and dwi\.b is not in"):
        read_scan(tmp_path / "dwi.mif")
    with pytest.raises(
        GradientError, match=r"dwi\.mif with dwi\.bvec: FSL's directions go along.*mrconvert dwi\.mif -fsl"
    ):
        read_scan(tmp_path / "dwi.mif", tmp_path / "dwi.bval", tmp_path / "dwi.bvec")


def test_keys_that_begin_like_the_end_and_numbers_are_kept(tmp_path):
    write_image(
        tmp_path / "a.mif", [np.zeros((2, 1, 1), np.float32)], (2, 1, 1), np.eye(4), {"ENDING": 3, "Flag": True}
    )
    sidecar = read_with_sidecar(tmp_path / "a.mif")[2]
    assert sidecar["ENDING"] == 3 and sidecar["Flag"] is True
