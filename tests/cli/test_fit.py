"""`shd fit` and `shd infer` as a user runs them: what they write, what they say, and that one repeats the other."""

import json

import nibabel as nib
import numpy as np
import pytest

import shd
from shd.io.checkpoints import read_model
from shd.io.fodf import read_fod
from shd.io.peaks import read_peaks
from shd.io.responses import read_response, write_response
from shd.scans.scan import Scan
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.directions import axial_angle
from tests.support.affines import AFFINES
from tests.support.stored import QUICK, everything_in, run_program, store, words

TWO_SHELLS = Protocol("small", 2, ((1000.0, 15), (3000.0, 30)))
ONE_SHELL = Protocol("small", 2, ((3000.0, 20),))
TISSUES = ("wm", "gm", "csf")
SHAPE = (6, 6, 4)
IMAGES = {"wm_fod", "peaks", "mask", "b0", "residual"}
WITH_SINGLE_SHELL = {f"{name}{ending}" for name in IMAGES for ending in (".nii.gz", ".json")} | {
    "response_wm.txt", "model.safetensors", "run.json", "fit.png", "log.csv",
}  # fmt: skip
WITH_ALL_TISSUES = WITH_SINGLE_SHELL | {
    "gm.nii.gz", "gm.json", "csf.nii.gz", "csf.json", "response_gm.txt", "response_csf.txt",
}  # fmt: skip


def phantom_of(protocol: Protocol, seed: int = 0):
    return crossing_phantom(60.0, shape=SHAPE, protocol=protocol, affine=AFFINES["oblique"], seed=seed)


@pytest.fixture(scope="module")
def two_shells():
    return phantom_of(TWO_SHELLS)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, two_shells):
    """A folder with a scan, exact responses, and the fit of it (made once: the tests only read it)."""
    place = tmp_path_factory.mktemp("fit")
    files = store(two_shells.scan, place / "scan")
    for response in two_shells.responses:
        write_response(place / f"{response.tissue}.txt", response)
    capture = pytest.MonkeyPatch()
    capture.chdir(place)
    with pytest.raises(SystemExit) as end:
        shd_run("fit", *words(files), *given(place), *QUICK, "--out", "deep/out")
    capture.undo()
    assert end.value.code == 0
    return place


def shd_run(*arguments):
    from shd.cli.main import run

    run([str(argument) for argument in arguments])


def given(place, tissues=TISSUES):
    return [word for tissue in tissues for word in (f"--{tissue}", str(place / f"{tissue}.txt"))]


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def fods(folder):
    return read_fod(folder / "wm_fod.nii.gz")[0]


def test_every_file_is_there_and_nothing_else(fitted):
    assert names_in(fitted / "deep" / "out") == WITH_ALL_TISSUES
    assert names_in(fitted / "deep") == {"out"}


def test_images_are_float32_on_the_scans_grid(fitted, two_shells):
    volumes = {"wm_fod": (91,), "gm": (), "csf": (), "peaks": (15,), "mask": ()}
    for name, last in volumes.items():
        image = nib.load(fitted / "deep" / "out" / f"{name}.nii.gz")
        assert image.get_data_dtype() == np.float32
        assert image.shape == (*SHAPE, *last) or (not last and image.shape == (*SHAPE, 1))
        np.testing.assert_allclose(image.affine, two_shells.scan.affine, atol=1e-5)


def test_everyone_may_read_what_the_umask_allows(fitted):
    modes = {path.stat().st_mode & 0o777 for path in (fitted / "deep" / "out").iterdir()}
    assert len(modes) == 1


def test_sidecars_say_what_the_numbers_are(fitted):
    out = fitted / "deep" / "out"
    sidecar = json.loads((out / "wm_fod.json").read_text())
    assert sidecar["OrientationEncoding"] == {
        "EncodingAxis": 3, "Reference": "xyz", "SphericalHarmonicBasis": "mrtrix3", "SphericalHarmonicDegree": 12,
        "Type": "sh",
    }  # fmt: skip
    response = read_response(out / "response_wm.txt", "wm", phantom_of(TWO_SHELLS).scan.gradients)
    written = list(sidecar["ResponseFunction"]["Coefficients"].values())
    np.testing.assert_allclose(written, response.coefficients, rtol=1e-6)
    assert list(sidecar["ResponseFunction"]["Coefficients"]) == ["0", "1000", "3000"]
    assert sidecar["Model"]["Parameters"]["width"] == 2
    assert sidecar["GeneratedBy"] == [{"Name": "shd", "Version": shd.__version__}]
    assert json.loads((out / "gm.json").read_text())["OrientationEncoding"]["SphericalHarmonicDegree"] == 0
    peaks = json.loads((out / "peaks.json").read_text())["OrientationEncoding"]
    assert (peaks["Type"], peaks["Reference"]) == ("3vector", "xyz")


def test_run_json_is_complete(fitted):
    text = (fitted / "deep" / "out" / "run.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    run = json.loads(text)
    assert set(run["inputs"]) >= {"dwi", "bval", "bvec", "mask", "wm", "gm", "csf"}
    assert run["inputs"]["dwi"] == str(fitted / "scan" / "dwi.nii.gz")
    assert run["scan"]["shells"] == {"0": 2, "1000": 15, "3000": 30}
    assert run["scan"]["mask_voxels"] == 144
    settings = run["settings"]
    assert (settings["steps"], settings["width"], settings["seed"], settings["device"]) == (2, 2, 0, "cpu")
    assert (run["degree"], run["steps"], run["shd"], run["tissues"]) == (12, 2, shd.__version__, list(TISSUES))
    assert run["gradient_coherence"]["verdict"] in ("confirmed", "undecided", "inconsistent")
    assert {"loss", "data"} <= set(run["final_losses"]) and all(np.isfinite(v) for v in run["final_losses"].values())
    assert run["held_out_loss"]["best"] <= run["held_out_loss"]["first"]
    assert {"coherence", "training", "inference", "peaks"} <= set(run["seconds"])
    assert {"python", "torch", "numpy", "nibabel"} <= set(run["versions"])


def test_tissues_add_up_to_the_measured_b0_about(fitted, two_shells):
    """Nothing holds them to it, but b=0 volumes are data: within three deviations of a volume's noise, in the files."""
    out = fitted / "deep" / "out"
    parts = [fods(out)[..., 0]] + [nib.load(out / f"{t}.nii.gz").get_fdata().reshape(SHAPE) for t in ("gm", "csf")]
    unit = [response.coefficients[0, 0] for response in two_shells.responses]
    modelled = sum(p * u for p, u in zip(parts, unit, strict=True))
    measured = two_shells.scan.data[..., two_shells.scan.gradients.b0_volumes].mean(axis=-1)
    np.testing.assert_allclose(modelled, measured, rtol=3 / 20)
    assert np.median(modelled / measured) == pytest.approx(1, abs=0.08)
    assert np.abs(modelled / measured - 1).max() > 1e-3  # no longer scaled to it
    assert np.corrcoef(modelled.ravel(), measured.ravel())[0, 1] > 0.5


def test_peaks_are_those_of_the_fods(fitted):
    from shd.fodf.peaks import find_peaks

    out = fitted / "deep" / "out"
    written, _, _ = read_peaks(out / "peaks.nii.gz")
    found = find_peaks(fods(out).reshape(-1, 91))
    np.testing.assert_allclose(written.amplitudes.reshape(-1, 5), found.amplitudes, atol=1e-5)


def test_infer_on_the_same_scan_gives_the_same_fods(capsys, fitted, tmp_path):
    out = fitted / "deep" / "out"
    files = {name: fitted / "scan" / f"dwi.{name}" for name in ("bval", "bvec")}
    files |= {"dwi": fitted / "scan" / "dwi.nii.gz", "mask": fitted / "scan" / "mask.nii.gz"}
    options = ("--model", out / "model.safetensors", "--tile", "4", "--threads", "1", "--device", "cpu")
    ran = run_program(capsys, "infer", *words(files), *options, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert names_in(tmp_path / "out") == WITH_ALL_TISSUES - {"log.csv"}
    np.testing.assert_allclose(fods(tmp_path / "out"), fods(out), atol=1e-5)
    for name in ("gm", "csf"):
        ours, theirs = (nib.load(folder / f"{name}.nii.gz").get_fdata() for folder in (tmp_path / "out", out))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["inputs"]["model"] == str(out / "model.safetensors")
    assert run["settings"] is None and run["model"]["width"] == 2 and run["engine"]
    half = run_program(capsys, "infer", *words(files), *options[:2], "--bfloat16", "--out", tmp_path / "half")
    assert half.code == 0, half.err
    np.testing.assert_allclose(fods(tmp_path / "half"), fods(out), atol=0.02 * np.abs(fods(out)).max())


def test_infer_on_other_directions_of_the_same_shells(fitted):
    """More directions, b-values off by some s/mm²: the network works on the sphere, not on the gradient table."""
    axis = np.array([0.8, -0.36, 0.48])
    denser = Protocol("denser", 3, ((1005.0, 20), (2990.0, 40)))
    other = single_bundle(axis, AFFINES["LAS"], protocol=denser, snr=30.0).scan
    result = shd.infer(other, fitted / "deep" / "out" / "model.safetensors", tile=4, device="cpu", threads=1)
    found = result.peaks.directions[..., 0, :].reshape(-1, 3).astype(float)
    assert np.median(axial_angle(found, np.broadcast_to(axis, found.shape))) < 3


@pytest.mark.parametrize("protocol", [ONE_SHELL, Protocol("other", 2, ((1500.0, 15), (3000.0, 30)))])
def test_infer_refuses_other_shells(capsys, fitted, tmp_path, protocol):
    files = store(phantom_of(protocol).scan, tmp_path / "scan")
    model = fitted / "deep" / "out" / "model.safetensors"
    ran = run_program(capsys, "infer", *words(files), "--model", model, "--out", tmp_path / "out")
    assert ran.code == 2
    bvalues = [str(int(b)) for b, _ in protocol.shells]
    expected = f"trained for b = 0, 1000, 3000 but the scan has b = {', '.join(['0', *bvalues])}; use --model base"
    assert expected in ran.err
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_one_shell_gives_white_matter_alone(capsys, tmp_path, fitted):
    scan = phantom_of(ONE_SHELL).scan
    files = store(scan, tmp_path / "scan", convention="mrtrix")
    write_response(tmp_path / "wm.txt", phantom_of(ONE_SHELL).responses[0])
    ran = run_program(capsys, "fit", *words(files), *given(tmp_path, ["wm"]), *QUICK, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert names_in(tmp_path / "out") == WITH_SINGLE_SHELL
    assert "warning" not in ran.err
    assert fods(tmp_path / "out").shape[-1] == 91
    assert read_model(tmp_path / "out" / "model.safetensors")[0].config.tissues == ("wm",)


def test_estimated_responses_are_written(capsys, tmp_path):
    files = store(phantom_of(ONE_SHELL).scan, tmp_path / "scan")
    ran = run_program(capsys, "fit", *words(files), *QUICK, "--degree", "8", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert fods(tmp_path / "out").shape[-1] == 45
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "wm" not in run["inputs"] and run["scan"]["snr"] > 5 and run["warnings"] == []
    assert read_response(tmp_path / "out" / "response_wm.txt", "wm", phantom_of(ONE_SHELL).scan.gradients).degree > 0


STORED_AS = {
    "int16": lambda data: data.astype(np.int16),
    "uint16": lambda data: (20 * data).astype(np.uint16),
    "float64": lambda data: data.astype(np.float64),
}


@pytest.mark.parametrize("kind", [*STORED_AS, "scaled"])
def test_fods_are_the_same_float32_whatever_the_scans_type(capsys, fitted, tmp_path, two_shells, kind):
    """The published code wrote int16 fODFs, which are zeros, from int16 scans."""
    data = STORED_AS.get(kind, STORED_AS["int16"])(two_shells.scan.data)
    files = store(two_shells.scan, tmp_path / "scan", data=data)
    if kind == "scaled":
        image = nib.Nifti1Image(two_shells.scan.data, two_shells.scan.affine)
        image.set_data_dtype(np.int16)
        nib.save(image, files["dwi"])
        assert nib.load(files["dwi"]).dataobj.slope != 1
    model = fitted / "deep" / "out" / "model.safetensors"
    result = shd.infer(shd.read_scan(**files), model, tile=4, device="cpu", threads=1)
    scale = 20 if kind == "uint16" else 1
    assert result.fod.wm.dtype == np.float32
    np.testing.assert_allclose(result.fod.wm / scale, fods(fitted / "deep" / "out"), atol=5e-3)


def test_bad_voxels_are_left_out_on_request(capsys, fitted, tmp_path, two_shells):
    data = two_shells.scan.data.copy()
    data[1, 2, 3, 4], data[5, 5, 0, 0] = np.nan, np.inf
    files = store(two_shells.scan, tmp_path / "scan", data=data)
    command = ("fit", *words(files), *given(fitted), *QUICK, "--out", tmp_path / "out")
    ran = run_program(capsys, *command, "--ignore-bad-voxels")
    assert ran.code == 0 and "2 of 144 voxels in the mask are NaN or infinite and are left out" in ran.err
    mask = nib.load(tmp_path / "out" / "mask.nii.gz").get_fdata() > 0
    said = json.loads((tmp_path / "out" / "run.json").read_text())["warnings"]
    assert len(said) == 1 and f"warning: {said[0]}" in ran.err and "and are left out" in said[0]
    for name in ("b0", "residual"):
        volume = nib.load(tmp_path / "out" / f"{name}.nii.gz").get_fdata()
        assert np.isfinite(volume).all() and (volume[mask] > 0).all()
    assert mask.sum() == 142 and not mask[1, 2, 3] and not mask[5, 5, 0]
    written = fods(tmp_path / "out")
    assert np.isfinite(written).all() and not written[~mask].any()
    amounts = [
        written[..., 0],
        *(nib.load(tmp_path / "out" / f"{t}.nii.gz").get_fdata().reshape(SHAPE) for t in TISSUES[1:]),
    ]
    assert (sum(amounts)[mask] > 0).all() and not sum(amounts)[~mask].any()
    white = two_shells.tissue_fractions[..., 0] > 0.9
    assert (written[mask & white][:, 0] > 0).all()


def test_force_replaces_results_and_removes_what_no_longer_holds(capsys, fitted, tmp_path):
    """A single-shell fit over a multi-shell one: the old gm.nii.gz would be taken for its own."""
    out = tmp_path / "out"
    out.mkdir()
    for path in (fitted / "deep" / "out").iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    (out / "thesis.txt").write_text("precious")
    files = store(phantom_of(ONE_SHELL).scan, tmp_path / "scan")
    write_response(tmp_path / "wm.txt", phantom_of(ONE_SHELL).responses[0])
    ran = run_program(capsys, "fit", *words(files), *given(tmp_path, ["wm"]), *QUICK, "--out", out, "--force")
    assert ran.code == 0, ran.err
    assert names_in(out) == WITH_SINGLE_SHELL | {"thesis.txt"}
    assert json.loads((out / "run.json").read_text())["scan"]["shells"] == {"0": 2, "3000": 20}
    assert (out / "thesis.txt").read_text() == "precious"


def test_what_a_command_says(capsys, fitted, tmp_path):
    """Piped output is plain lines: a line a stage on stderr; what was written and what to do next on stdout.

    An empty output folder is used as it is: it may be a mounted disk, which cannot be renamed. Inputs stay unchanged.
    """
    files = store(phantom_of(TWO_SHELLS).scan, tmp_path / "scan")
    before = everything_in(tmp_path / "scan")
    out = tmp_path / "out"
    out.mkdir()
    identity = out.stat().st_ino
    ran = run_program(capsys, "fit", *words(files), *given(fitted), *QUICK, "--out", out)
    stages = ["gradient check", "first estimate", "training", "inference", "peaks", "residual", "writing"]
    assert ran.err.splitlines() == stages
    lines = ran.out.splitlines()
    assert lines[0].startswith("144 voxels; training 2 steps on 1 CPU threads")
    assert lines[1].startswith("training steps: 2; loss on held-out voxels 0.")
    assert "gradient directions" in lines[2]
    assert lines[3].startswith(f"wrote {len(WITH_ALL_TISSUES)} files in {out}: ")
    assert lines[4].startswith(f"look at {out / 'fit.png'}")
    assert lines[5:] == [
        f"  shd report {out}",
        f"  mrview {out}/b0.nii.gz -odf.load_sh {out}/wm_fod.nii.gz",
        f"  tckgen {out}/wm_fod.nii.gz tracks.tck -seed_image {out}/mask.nii.gz -mask {out}/mask.nii.gz "
        "-select 10000 -cutoff 0.2",
        f"  shd track {out} --out tracks.trx",
    ]
    assert names_in(out) == WITH_ALL_TISSUES and out.stat().st_ino == identity
    assert everything_in(tmp_path / "scan") == before


def test_the_same_from_python(fitted, two_shells):
    """`shd.fit` on the scan that `shd.read_scan` reads gives the files' fODFs."""
    from shd.training.settings import FitSettings

    files = {name: fitted / "scan" / f"dwi.{name}" for name in ("bval", "bvec")}
    scan = shd.read_scan(fitted / "scan" / "dwi.nii.gz", mask=fitted / "scan" / "mask.nii.gz", **files)
    assert isinstance(scan, Scan)
    settings = FitSettings(steps=2, width=2, tile=4, threads=1, device="cpu")
    responses = tuple(read_response(fitted / f"{t}.txt", t, scan.gradients) for t in TISSUES)
    result = shd.fit(scan, responses, settings)
    np.testing.assert_array_equal(result.fod.wm, fods(fitted / "deep" / "out"))
    assert [r.tissue for r in result.responses] == list(TISSUES)
