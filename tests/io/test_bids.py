"""A fit as BIDS derivatives: what is in each file, what sidecars say, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shd.errors import FormatError, OutputError, ScanError
from shd.io import bids
from shd.io.bids import write_bids
from shd.io.fit_folder import read_fit_folder
from shd.io.fodf import read_fod
from shd.io.images import read_with_sidecar, write_image
from shd.io.peaks import read_peaks
from tests.support.fits import ROWS, store_fit
from tests.support.json_schema import violations
from tests.support.stored import everything_in

SCHEMA = json.loads((Path(__file__).parent / "bep016_schema.json").read_text())
VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
FOD = {"bep016": "param-{low}_dwimap.nii.gz", "qsirecon": "param-fod_label-{up}_dwimap.mif.gz"}
STEM = "sub-01/ses-a/dwi/sub-01_ses-a_space-T1w"


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    return store_fit(tmp_path_factory.mktemp("fit"))


@pytest.fixture(params=["bep016", "qsirecon"])
def written(request, fit, tmp_path):
    """The dataset, its files, and the name of the template."""
    files = write_bids(
        read_fit_folder(fit), tmp_path, subject="01", session="ses-a", space="T1w", template=request.param
    )
    return tmp_path, files, request.param


def sidecar(path):
    return json.loads(beside(path).read_text())


def beside(image):
    return image.with_name(image.name.removesuffix(".nii.gz").removesuffix(".mif.gz") + ".json")


def image_of(folder, template, tissue):
    return folder / f"{STEM}_model-shd_{FOD[template].format(low=tissue, up=tissue.upper())}"


def assert_same_image(path, other):
    (ours, affine, _), (theirs, expected, _) = read_with_sidecar(path), read_with_sidecar(other)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(affine, expected, atol=1e-6)


def test_every_file_has_its_name(written):
    folder, files, template = written
    images = [image_of(folder, template, tissue) for tissue in ROWS]
    images += [folder / f"{STEM}_model-shd_param-peaks_dwimap.nii.gz", folder / f"{STEM}_desc-brain_mask.nii.gz"]
    sidecars = [beside(path) for path in images]
    texts = [
        folder / f"{STEM}_model-shd_param-{tissue}_response.txt"
        if template == "bep016"
        else folder / f"{STEM}_model-shd_param-fod_label-{tissue.upper()}_dwimap.txt"
        for tissue in ROWS
    ]
    others = [folder / name for name in ("dataset_description.json", "README.md", ".bidsignore")]
    others.append(folder / "sub-01/figures/sub-01_ses-a_space-T1w_model-shd_odfs.png")
    assert set(files) == {*images, *sidecars, *texts, *others}
    assert {path for path in folder.rglob("*") if path.is_file()} == set(files)


def test_images_are_those_of_the_fit(fit, written):
    folder, _, template = written
    for tissue, name in (("wm", "wm_fod"), ("gm", "gm"), ("csf", "csf")):
        path = image_of(folder, template, tissue)
        assert_same_image(path, fit / f"{name}.nii.gz")
        assert read_fod(path)[2]["OrientationEncoding"]["SphericalHarmonicDegree"] == (4 if tissue == "wm" else 0)
    assert read_fit_folder(image_of(folder, template, "wm")).fod.degree == 4
    assert_same_image(folder / f"{STEM}_desc-brain_mask.nii.gz", fit / "mask.nii.gz")
    figure = next((folder / "sub-01" / "figures").iterdir())
    assert figure.read_bytes() == (fit / "fit.png").read_bytes()


def test_absent_peaks_are_zero(fit, written):
    path = written[0] / f"{STEM}_model-shd_param-peaks_dwimap.nii.gz"
    values, before = read_with_sidecar(path)[0], read_with_sidecar(fit / "peaks.nii.gz")[0]
    absent = np.isnan(before)
    assert absent.any() and not absent.all() and np.isfinite(values).all()
    np.testing.assert_array_equal(values, np.where(absent, 0, before))
    ours, theirs = read_peaks(path)[0], read_peaks(fit / "peaks.nii.gz")[0]
    np.testing.assert_array_equal(ours.amplitudes, theirs.amplitudes)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("peaks2fixel") is None, reason="MRtrix3 programs are not installed")
def test_mrtrix_takes_zero_for_an_absent_peak(fit, written, tmp_path_factory):
    place, counts = tmp_path_factory.mktemp("fixels"), []
    for name, path in (
        ("ours", written[0] / f"{STEM}_model-shd_param-peaks_dwimap.nii.gz"),
        ("fit", fit / "peaks.nii.gz"),
    ):
        subprocess.run(["peaks2fixel", "-quiet", path, place / name], check=True, capture_output=True)
        shown = subprocess.run(
            ["mrinfo", "-size", place / name / "directions.mif"], check=True, capture_output=True, text=True
        )
        counts.append(int(shown.stdout.split()[0]))
    assert counts[0] == counts[1] == np.count_nonzero(read_peaks(fit / "peaks.nii.gz")[0].amplitudes)


def test_sidecars_obey_the_draft(written):
    folder, files, template = written
    kinds = dict.fromkeys((image_of(folder, template, tissue) for tissue in ROWS), "fod")
    kinds[folder / f"{STEM}_model-shd_param-peaks_dwimap.nii.gz"] = "peaks"
    assert sum(path.name.endswith(("dwimap.nii.gz", "dwimap.mif.gz")) for path in files) == len(kinds)
    for path, kind in kinds.items():
        for part in ("model", kind):
            assert violations(sidecar(path), SCHEMA[part]) == [], path.name
    assert violations(json.loads((folder / "dataset_description.json").read_text()), SCHEMA["dataset"]) == []


def test_a_fits_own_sidecar_would_not_obey(fit):
    """Its response is by b-value, and its non-negativity is called soft: the schema sees both."""
    found = violations(json.loads((fit / "wm_fod.json").read_text()), SCHEMA["fod"])
    assert any("Coefficients: dict" in line for line in found) and any("'soft' is none of" in line for line in found)


def test_responses_are_a_list_a_shell(written):
    folder, _, template = written
    for tissue, rows in ROWS.items():
        response = sidecar(image_of(folder, template, tissue))["ResponseFunction"]
        assert response == {"Type": "zsh", "Coefficients": rows.tolist(), "Shells": [0.0, 1000.0, 3000.0]}


def test_rows_of_unequal_length_are_padded():
    from shd.io.bids_sidecars import fod_sidecar

    stored = {"ResponseFunction": {"Type": "zsh", "Coefficients": {"0": [5.0], "1000": [3.0, -1.0]}}}
    assert fod_sidecar(stored, "wm")["ResponseFunction"]["Coefficients"] == [[5.0, 0.0], [3.0, -1.0]]


def test_a_normalised_result_says_so(fit, tmp_path):
    normalised = shutil.copytree(fit, tmp_path / "normalised")
    stored = read_fit_folder(normalised)
    field = np.where(stored.fod.mask, 1.25, 0.0).astype(np.float32)
    write_image(normalised / "intensity_field.nii.gz", [field], field.shape, stored.fod.affine, {})
    record = json.loads((normalised / "run.json").read_text())
    made = {"Source": "/work", "Order": 3, "Scale": 1.25}
    (normalised / "run.json").write_text(json.dumps({**record, "intensity_normalisation": made}))
    for path in normalised.glob("*.json"):
        if path.name in ("wm_fod.json", "gm.json", "csf.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "IntensityNormalisation": made}))
    both = {path.name for path in write_bids(read_fit_folder(fit), tmp_path / "out", subject="01")}
    files = write_bids(read_fit_folder(normalised), tmp_path / "out", subject="01")
    named = {path.name for path in files if "figures" not in str(path)}
    assert {name for name in named & both} == {"sub-01_desc-brain_mask.nii.gz", "sub-01_desc-brain_mask.json"}
    norm = next(path for path in files if "param-norm_desc-normalised_dwimap.nii.gz" in path.name)
    np.testing.assert_array_equal(read_with_sidecar(norm)[0], field)
    for part in ("model", "scalar"):
        assert violations(sidecar(norm), SCHEMA[part]) == []
    wm = next(path for path in files if "param-wm_desc-normalised_dwimap.nii.gz" in path.name)
    assert sidecar(wm)["IntensityNormalisation"] == {"Order": 3, "Scale": 1.25}


@pytest.mark.parametrize("described", [True, False])
def test_the_source_is_the_dataset_of_the_scan(tmp_path, described):
    scan = tmp_path / "qsiprep" / "sub-01" / "ses-a" / "dwi" / "sub-01_ses-a_dwi.nii.gz"
    scan.parent.mkdir(parents=True)
    if described:
        (tmp_path / "qsiprep" / "dataset_description.json").write_text("{}")
    fit = store_fit(tmp_path / "fit", inputs={"dwi": str(scan)})
    write_bids(read_fit_folder(fit), tmp_path / "shd", subject="01")
    said = json.loads((tmp_path / "shd" / "dataset_description.json").read_text())
    if described:
        assert said["SourceDatasets"] == [{"URL": (tmp_path / "qsiprep").as_uri()}]
        assert said["DatasetLinks"] == {"preprocessed": "../qsiprep"}
    else:
        assert said["SourceDatasets"] == [] and "DatasetLinks" not in said


def test_an_image_alone(fit, tmp_path):
    files = write_bids(read_fit_folder(fit / "wm_fod.nii.gz"), tmp_path, subject="sub-7")
    images = {path.name for path in files if path.name.endswith(".nii.gz")}
    assert images == {"sub-7_model-shd_param-wm_dwimap.nii.gz", "sub-7_desc-brain_mask.nii.gz"}
    (tmp_path / "x.nii.gz").write_bytes((fit / "wm_fod.nii.gz").read_bytes())
    files = write_bids(read_fit_folder(tmp_path / "x.nii.gz"), tmp_path / "out", subject="7")
    wm = next(path for path in files if path.name.endswith("param-wm_dwimap.nii.gz"))
    assert "not known" in sidecar(wm)["Model"]["Description"]


def test_existing_files_are_kept_unless_forced(fit, written):
    folder, _, template = written
    before = everything_in(folder)
    given = {"subject": "01", "session": "a", "space": "T1w", "template": template}
    with pytest.raises(OutputError, match=r"exists already .* or --force to replace"):
        write_bids(read_fit_folder(fit), folder, **given)
    assert everything_in(folder) == before
    (folder / "README.md").write_text("the user's own")
    write_bids(read_fit_folder(fit), folder, force=True, **given)
    assert (folder / "README.md").read_text() == "the user's own"
    assert everything_in(folder).keys() == before.keys()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [({"subject": "0 1"}, FormatError, "letters and digits only"), ({"session": "a_b"}, FormatError, "ses-a_b"),
     ({"space": "x-y"}, FormatError, "letters and digits"), ({"template": "bep17"}, FormatError, "no such template")],
)  # fmt: skip
def test_what_cannot_be_written(fit, tmp_path, given, error, says):
    with pytest.raises(error, match=says):
        write_bids(read_fit_folder(fit), tmp_path / "out", **{"subject": "01", **given})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [('{"GeneratedBy": [{"Name": "QSIPrep"}]}', OutputError, "dataset of QSIPrep, not of shd; give a folder of"),
     ('{"Name": "raw"}', OutputError, "dataset of raw data"), ("{", ScanError, "not readable"),
     ('{"GeneratedBy": "x"}', ScanError, "not readable")],
)  # fmt: skip
def test_another_programs_dataset_is_left_alone(fit, tmp_path, text, error, says):
    (tmp_path / "dataset_description.json").write_text(text)
    before = everything_in(tmp_path)
    with pytest.raises(error, match=says):
        write_bids(read_fit_folder(fit), tmp_path, subject="01")
    assert everything_in(tmp_path) == before


def test_a_failure_half_way_leaves_nothing(fit, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OutputError("disk full")

    monkeypatch.setattr(bids, "write_scalar", fail)
    with pytest.raises(OutputError, match="disk full"):
        write_bids(read_fit_folder(fit), tmp_path / "a" / "out", subject="01")
    assert not (tmp_path / "a").exists()


def issues(folder):
    ran = subprocess.run([VALIDATOR, folder, "--format", "json"], capture_output=True, text=True, timeout=120)
    return json.loads(ran.stdout)["issues"]["issues"]


@pytest.mark.skipif(not VALIDATOR.is_file(), reason="bids-validator-deno is not installed")
def test_the_bids_validator_finds_no_error(written):
    found = issues(written[0])
    assert [issue for issue in found if issue["severity"] == "error"] == []
    assert {issue["code"] for issue in found} <= {"TOO_FEW_AUTHORS", "SIDECAR_KEY_RECOMMENDED"}


@pytest.mark.skipif(not VALIDATOR.is_file(), reason="bids-validator-deno is not installed")
def test_only_names_of_drafts_are_hidden_from_the_validator(written):
    """It knows masks and datasets, and would say of the rest no more than that it does not know it."""
    folder = written[0]
    (folder / ".bidsignore").unlink()
    errors = [issue for issue in issues(folder) if issue["severity"] == "error"]
    assert {issue["code"] for issue in errors} == {"NOT_INCLUDED"}
    assert all(any(word in issue["location"] for word in ("_dwimap.", "_response.", "/figures")) for issue in errors)
    assert not any("_mask" in issue["location"] for issue in errors)
