import numpy as np
import pytest

from shd.errors import OutputError, ResponseError, ShdWarning
from shd.io.responses import (
    read_given_responses,
    read_response,
    read_response_folder,
    read_stored_response,
    write_response,
)
from shd.signal.response import Response
from shd.simulation import crossing_phantom
from shd.simulation.tissues import tissue_responses
from tests.signal.simulated_tissues import shells_gradients, tissue_block

MULTI = shells_gradients({700.0: 8, 1200.0: 8, 2800.0: 8})
SINGLE = shells_gradients({2000.0: 45})
WM_ROWS = "4000 0 0\n2500 -650 70\n1900 -730 150\n1200 -600 250\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "response.txt"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_is_written_is_read_back(file, index):
    bvalues = np.array([0.0, 700.0, 1200.0, 2800.0])
    response = tissue_responses(bvalues, degree=8)[index]
    write_response(file, response)
    assert file.read_text().startswith("# Shells: 0,700,1200,2800\n")
    back = read_response(file, response.tissue, MULTI)
    np.testing.assert_allclose(back.coefficients, response.coefficients, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(back.bvalues, bvalues)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_rows_without_comment_match_by_count(file):
    file.write_text(WM_ROWS)
    response = read_response(file, "wm", MULTI)
    np.testing.assert_array_equal(response.coefficients[:, 0], [4000, 2500, 1900, 1200])


def test_jittered_bvalues_match_and_other_rows_are_left_out(file):
    file.write_text("# Shells: 0,701,1195,2000,2830\n" + WM_ROWS.replace("1200 ", "1500 -600 250\n1200 "))
    np.testing.assert_array_equal(read_response(file, "wm", MULTI).coefficients[:, 0], [4000, 2500, 1900, 1200])


def test_other_shells_are_refused_with_both_sets_of_bvalues(file):
    file.write_text("# Shells: 0,1000,2000,3000\n" + WM_ROWS)
    with pytest.raises(ResponseError, match="b = 0, 1000, 2000, 3000 but the scan has b = 0, 700, 1200, 2800"):
        read_response(file, "wm", MULTI)


def test_another_number_of_rows_is_refused_with_both_numbers(file):
    file.write_text("4000 0\n2500 -650\n1900 -730\n")
    with pytest.raises(ResponseError, match=r"3 rows.* has 4: b = 0, 700, 1200, 2800"):
        read_response(file, "wm", MULTI)


@pytest.mark.parametrize("comment", ["# Shells: 1995\n# command_history: dwi2response\n", ""])
def test_the_one_row_of_tournier_gets_its_b0_from_the_scan(file, comment):
    block = tissue_block(SINGLE, snr=60)
    truth = tissue_responses(np.array([0.0, 2000.0]), degree=8)[0].coefficients
    file.write_text(comment + " ".join(f"{value}" for value in truth[1]) + "\n")
    response = read_response(file, "wm", SINGLE, block.signal)
    np.testing.assert_array_equal(response.bvalues, [0.0, 2000.0])
    np.testing.assert_allclose(response.coefficients[1], truth[1])
    assert response.coefficients[0, 0] == pytest.approx(truth[0, 0], rel=0.01)
    assert not response.coefficients[0, 1:].any()


def test_one_row_without_the_scan_is_refused_with_a_way_out(file):
    file.write_text("# Shells: 2000\n800 -220 70\n")
    with pytest.raises(ResponseError, match="no b=0 row"):
        read_response(file, "wm", SINGLE)


def test_one_row_of_another_shell_is_refused(file):
    file.write_text("# Shells: 1000\n800 -220 70\n")
    with pytest.raises(ResponseError, match="b = 1000 but the scan has b = 0, 2000"):
        read_response(file, "wm", SINGLE)


def test_one_row_does_not_serve_several_shells(file):
    file.write_text("# Shells: 2800\n800 -220 70\n")
    with pytest.raises(ResponseError, match="b = 2800 but the scan has b = 0, 700, 1200, 2800"):
        read_response(file, "wm", MULTI)


def test_mixed_up_tissues_are_refused(file):
    file.write_text(WM_ROWS)
    with pytest.raises(ResponseError, match="gm response of degree 4"):
        read_response(file, "gm", MULTI)
    file.write_text("4 \n3 \n2 \n1 \n")
    with pytest.raises(ResponseError, match="only l=0"):
        read_response(file, "wm", MULTI)


def test_zero_columns_of_an_isotropic_tissue_are_dropped(file):
    file.write_text("4 0 0\n3 0 0\n2 0 0\n1 0 0\n")
    assert read_response(file, "csf", MULTI).isotropic


def test_a_fibre_across_z_is_warned_of(file):
    file.write_text(WM_ROWS.replace("-", ""))
    with pytest.warns(ShdWarning, match="l=2 coefficient is 600"):
        read_response(file, "wm", MULTI)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no coefficients"),
        ("4 0\n3 -1\n2\n1 -1\n", r"\[1, 2\]"),
        ("4 zero\n", "could not convert"),
        ("# Shells: 0,1000\n4 0\n", "2 b-values .* 1 row"),
        ("4 0\n-3 -1\n2 -1\n1 -1\n", "above zero"),
    ],
)
def test_what_is_no_response_is_refused(file, text, message):
    file.write_text(text)
    with pytest.raises(ResponseError, match=message):
        read_response(file, "wm", MULTI)


def test_a_missing_file_and_a_binary_one_are_refused(file):
    with pytest.raises(ResponseError, match="cannot be read"):
        read_response(file, "wm", MULTI)
    file.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(ResponseError, match="cannot be read"):
        read_response(file, "wm", MULTI)


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot"):
        write_response(tmp_path / "absent" / "response.txt", tissue_responses(np.array([0.0]))[1])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_is_written_is_read_back_without_a_scan(tmp_path, index):
    bvalues = np.array([0.0, 700.0, 1200.0, 2800.0])
    response = tissue_responses(bvalues, degree=8)[index]
    write_response(tmp_path / f"sub-01_{response.tissue}_response.txt", response)
    back = read_stored_response(tmp_path / f"sub-01_{response.tissue}_response.txt")
    assert back.tissue == response.tissue
    np.testing.assert_allclose(back.coefficients, response.coefficients, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(back.bvalues, bvalues)


def test_the_tissue_of_a_file_without_its_name(file):
    file.write_text("# Shells: 0.0,701.5\n4000 0\n2500 -650\n")
    assert read_stored_response(file).tissue == "wm"
    file.write_text("# Shells: 0,700\n4000\n2500\n")
    with pytest.raises(ResponseError, match="holds 0 of the words wm, gm, csf; name it after its tissue"):
        read_stored_response(file)
    assert read_stored_response(file, "csf").tissue == "csf"


def test_one_row_of_tournier_is_a_response_of_one_shell(file):
    file.write_text("# Shells: 1995\n800 -220 70\n")
    np.testing.assert_array_equal(read_stored_response(file).bvalues, [1995.0])


def test_without_a_scan_shells_must_be_named(file):
    file.write_text(WM_ROWS)
    with pytest.raises(ResponseError, match="4 rows, for shells it does not name; name all 4"):
        read_stored_response(file)


def test_the_responses_of_a_folder(tmp_path):
    for response in tissue_responses(np.array([0.0, 1000.0]), degree=4):
        write_response(tmp_path / f"response_{response.tissue}.txt", response)
    assert [response.tissue for response in read_response_folder(tmp_path)] == ["wm", "gm", "csf"]
    (tmp_path / "response_gm.txt").unlink()
    assert [response.tissue for response in read_response_folder(tmp_path)] == ["wm", "csf"]
    (tmp_path / "response_wm.txt").unlink()
    with pytest.raises(ResponseError, match=r"no response_wm\.txt; give the folder"):
        read_response_folder(tmp_path)


@pytest.mark.parametrize("noise_floor", [0.0, 300.0])
def test_exchanged_responses_of_grey_matter_and_csf_are_warned_of(tmp_path, noise_floor):
    scan = crossing_phantom(60.0, shape=(3, 3, 3)).scan
    paths = {}
    for response in tissue_responses(np.array([0.0, 1000.0, 2000.0, 3000.0]), degree=4):
        floored = np.maximum(response.coefficients, [noise_floor] + [-np.inf] * (response.coefficients.shape[1] - 1))
        paths[response.tissue] = tmp_path / f"{response.tissue}.txt"
        write_response(paths[response.tissue], Response(response.tissue, response.bvalues, floored))
    assert len(read_given_responses(paths, scan)) == 3
    with pytest.warns(ShdWarning, match=r"by [23]\.?\d?e-3 mm²/s, faster than CSF's by 0\.8e-3 mm²/s \(b = 0, 1000\)"):
        read_given_responses(paths | {"gm": paths["csf"], "csf": paths["gm"]}, scan)
