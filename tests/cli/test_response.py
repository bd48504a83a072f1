"""`shd response`: estimation, which needs no name, and the mean of a group."""

import numpy as np
import pytest

from shd.io.responses import read_response_folder, read_stored_response, write_response
from shd.signal.response import Response
from shd.signal.response_average import mean_response
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.simulation.tissues import tissue_responses
from tests.support.stored import everything_in, run_program, store, words

BVALUES = np.array([0.0, 1000.0, 2000.0])
SMALL = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))


def subject(folder, gain, tissues=3, bvalues=BVALUES):
    folder.mkdir()
    for exact in tissue_responses(bvalues, degree=6)[:tissues]:
        write_response(
            folder / f"response_{exact.tissue}.txt", Response(exact.tissue, bvalues, gain * exact.coefficients)
        )
    return folder


@pytest.fixture
def subjects(tmp_path):
    return [subject(tmp_path / f"sub-{gain}", gain) for gain in (1.0, 2.0, 6.0)]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    phantom = crossing_phantom(60.0, shape=(12, 12, 6), protocol=SMALL)
    return store(phantom.scan, tmp_path_factory.mktemp("scan"))


def test_estimation_needs_no_name(capsys, tmp_path, scan):
    short = run_program(capsys, "response", *words(scan), "--out", tmp_path / "short")
    named = run_program(capsys, "response", "estimate", *words(scan), "--out", tmp_path / "named")
    options_first = run_program(capsys, "response", "--out", tmp_path / "options", *words(scan))
    assert (short.code, named.code, options_first.code) == (0, 0, 0), short.err
    assert short.out == named.out.replace("named", "short")
    assert set(everything_in(tmp_path / "short")) == {f"response_{t}.txt" for t in ("wm", "gm", "csf")}
    assert everything_in(tmp_path / "short") == everything_in(tmp_path / "named")
    assert everything_in(tmp_path / "short") == everything_in(tmp_path / "options")


def test_what_is_there_is_replaced_with_force_alone(capsys, tmp_path, scan):
    """Also what is of other tissues: a folder of responses is read as those of one scan."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "response_gm.txt").write_text("precious")
    ran = run_program(capsys, "response", *words(scan), "--out", out)
    assert ran.code == 2 and "response_gm.txt: exists already; give another name, or --force" in ran.err
    assert everything_in(out) == {"response_gm.txt": b"precious"}
    assert run_program(capsys, "response", *words(scan), "--out", out, "--force").code == 0
    assert set(everything_in(out)) == {f"response_{t}.txt" for t in ("wm", "gm", "csf")}
    assert len(read_response_folder(out)) == 3


def test_responses_appear_together_or_not_at_all(capsys, tmp_path, scan, monkeypatch):
    def fail_at_csf(path, response):
        if response.tissue == "csf":
            raise OSError(28, "No space left on device")
        write_response(path, response)

    monkeypatch.setattr("shd.io.responses.write_response", fail_at_csf)
    ran = run_program(capsys, "response", *words(scan), "--out", tmp_path / "out")
    assert ran.code == 2 and "out: cannot be written (No space left on device)" in ran.err
    assert not (tmp_path / "out").exists()


def test_the_table_beside_the_scan_is_the_default_as_in_a_fit(capsys, tmp_path, scan):
    ran = run_program(capsys, "response", scan["dwi"], "--mask", scan["mask"], "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    for command in (("fit",), ("response", "estimate")):
        said = " ".join(run_program(capsys, *command, "--help").out.replace("│", " ").split())
        assert "by default beside the scan, or in the .mif" in said and "not needed" not in said


@pytest.mark.parametrize("arguments", [("response", "--help"), ("response", "mean", "--help")])
def test_help_names_what_there_is(capsys, arguments):
    ran = run_program(capsys, *arguments)
    assert ran.code == 0 and "Usage" in ran.out
    assert "mean" in ran.out


def test_no_argument_is_a_usage_error(capsys):
    ran = run_program(capsys, "response")
    assert ran.code == 2 and "Missing argument" in ran.err


def test_mean_of_files(capsys, tmp_path, subjects):
    files = [folder / "response_wm.txt" for folder in subjects]
    ran = run_program(capsys, "response", "mean", *files, "--out", tmp_path / "group" / "wm.txt")
    assert ran.code == 0, ran.err
    written = read_stored_response(tmp_path / "group" / "wm.txt")
    expected = mean_response([read_stored_response(file) for file in files])
    np.testing.assert_allclose(written.coefficients, expected.coefficients, rtol=1e-8)
    assert f"--wm {tmp_path / 'group' / 'wm.txt'}" in ran.out


def test_mean_of_folders(capsys, tmp_path, subjects):
    ran = run_program(capsys, "response", "mean", *subjects, "--out", tmp_path / "group")
    assert ran.code == 0, ran.err
    for mean, exact in zip(read_response_folder(tmp_path / "group"), tissue_responses(BVALUES, degree=6), strict=True):
        np.testing.assert_allclose(mean.coefficients, 3.0 * exact.coefficients, rtol=1e-8, atol=1e-9)


def bad_inputs(tmp_path, subjects):
    few = subject(tmp_path / "few", 1.0, tissues=1)
    other = subject(tmp_path / "other", 1.0, bvalues=np.array([0.0, 1000.0, 3000.0]))
    (tmp_path / "bare.txt").write_text("3 -1\n2 -1\n")
    (tmp_path / "nameless.txt").write_text("# Shells: 0,1000\n3\n2\n")
    (tmp_path / "empty").mkdir()
    first = subjects[0]
    return {
        "one file": ([first / "response_wm.txt"], "1 response: a mean needs at least 2"),
        "files and folders": ([first, first / "response_wm.txt"], "1 folder and 1 file: give either alone"),
        "other shells": ([first, other], "b = 0, 1000, 3000, but the first 3, b = 0, 1000, 2000"),
        "other tissues": ([first, few], "few: responses of wm but"),
        "two tissues": ([first / "response_wm.txt", first / "response_gm.txt"], "2 is of gm but the first of wm"),
        "no shells named": ([first / "response_wm.txt", tmp_path / "bare.txt"], "bare.txt: 2 rows, for shells it does"),
        "no tissue named": ([tmp_path / "nameless.txt"] * 2, "its name holds 0 of the words wm, gm, csf"),
        "no response": ([first, tmp_path / "empty"], "empty: no response_wm.txt"),
        "missing": ([first / "response_wm.txt", tmp_path / "none.txt"], "none.txt: no such file"),
    }


def test_bad_input_writes_nothing(capsys, tmp_path, subjects):
    for name, (given, says) in bad_inputs(tmp_path, subjects).items():
        before = everything_in(tmp_path)
        ran = run_program(capsys, "response", "mean", *given, "--out", tmp_path / "out")
        assert ran.code == 2 and everything_in(tmp_path) == before, name
        assert ran.err.count("error: ") == 1 and says in ran.err, ran.err


def test_files_that_exist_stay_without_force(capsys, tmp_path, subjects):
    out = tmp_path / "group.txt"
    out.write_text("precious")
    command = ("response", "mean", *(folder / "response_wm.txt" for folder in subjects), "--out", out)
    ran = run_program(capsys, *command)
    assert ran.code == 2 and "exists already" in ran.err and out.read_text() == "precious"
    assert run_program(capsys, *command, "--force").code == 0
    assert read_stored_response(out, "wm").degree == 6
