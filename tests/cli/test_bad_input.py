"""Bad input gives one line with both numbers and a way out, exit code 2, and leaves nothing behind."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from shd.fitting.output_folder import OutputFolder
from shd.io.responses import write_response
from shd.models.deconvolver import Deconvolver
from shd.signal.response import Response
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from tests.support.affines import AFFINES
from tests.support.stored import QUICK, everything_in, run_program, store, words

PROTOCOL = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
AFFINE = AFFINES["oblique"]
SHAPE = (6, 6, 4)


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINE)


@pytest.fixture
def files(tmp_path, phantom):
    return store(phantom.scan, tmp_path / "scan")


def rewrite(path: Path, change) -> None:
    """Change the numbers of a gradient file."""
    np.savetxt(path, change(np.loadtxt(path, ndmin=2)), fmt="%.6g")


def replace_image(path: Path, change, affine=AFFINE) -> None:
    nib.save(nib.Nifti1Image(change(np.asarray(nib.load(path).dataobj)), affine), path)


def spoil(voxel, value):
    def change(data):
        data = data.copy()
        data[voxel] = value
        return data

    return change


def shifted(affine):
    affine = affine.copy()
    affine[2, 3] += 5.0
    return affine


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def no_b0(files):
    rewrite(files["bval"], lambda b: np.where(b < 50, 1000.0, b))
    rewrite(files["bvec"], lambda v: np.where(v.any(axis=0), v, [[0.0], [0.6], [0.8]]))


def drop(files, *names):
    for name in names:
        rewrite(files[name], lambda table: table[:, :-1])


# What is done to good files, and what the message must say: both numbers, and a way out.
CASES = {
    "fewer b-values than volumes": (
        lambda f: drop(f, "bval", "bvec"),
        r"32 volumes \(dwi\.nii\.gz\) but 31 b-values \(dwi\.bval\); is the b0 listed",
    ),
    "fewer b-values than vectors": (
        lambda f: drop(f, "bval"),
        r"31 b-values \(dwi\.bval\) but 32 directions \(dwi\.bvec\); is the b0 in both",
    ),
    "more volumes than either": (
        lambda f: replace_image(f["dwi"], lambda d: np.concatenate([d, d[..., :1]], axis=3)),
        r"33 volumes \(dwi\.nii\.gz\) but 32 b-values \(dwi\.bval\)",
    ),
    "no b0": (no_b0, r"no b=0 volume: the lowest of 32 b-values is 1000 .* up to 50; add the b=0 volumes"),
    "all directions zero": (
        lambda f: rewrite(f["bvec"], np.zeros_like),
        r"0 of 32 volumes have a gradient direction .* right bvec file",
    ),
    "negative b-value": (
        lambda f: rewrite(f["bval"], lambda b: -b),
        r"30 of 32 b-values are negative .* correct them",
    ),
    "empty mask": (
        lambda f: replace_image(f["mask"], np.zeros_like),
        r"mask.*: 0 of 144 voxels are above 0\.5; give a mask that holds voxels",
    ),
    "mask of another shape": (
        lambda f: replace_image(f["mask"], lambda d: d[:, :, :3]),
        r"mask \(mask\.nii\.gz\) is 6 × 6 × 3 voxels but the scan \(dwi\.nii\.gz\) 6 × 6 × 4; resample the mask",
    ),
    "mask of another affine": (
        lambda f: replace_image(f["mask"], lambda d: d, shifted(AFFINE)),
        r"lies 5\.00 mm away .* more than the 0\.20 mm allowed; resample the mask",
    ),
    "NaN in the mask": (
        lambda f: replace_image(f["dwi"], spoil((1, 2, 3, 4), np.nan)),
        r"1 of 144 voxels in the mask are NaN or infinite, the first at \(1, 2, 3\); .*--ignore-bad-voxels",
    ),
    "infinity in the mask": (
        lambda f: replace_image(f["dwi"], spoil((slice(0, 2), 2, 3, 4), np.inf)),
        r"2 of 144 voxels in the mask are NaN or infinite, the first at \(0, 2, 3\)",
    ),
    "no signal in the mask": (
        lambda f: replace_image(f["dwi"], np.zeros_like),
        r"144 of 144 voxels in the mask have no positive b=0 signal; is the mask",
    ),
    "truncated scan": (
        lambda f: cut_short(f["dwi"]),
        r"dwi\.nii\.gz: damaged or cut short: [\d,]+ of 18,432 bytes of image can be read; copy or download",
    ),
    "truncated mask": (lambda f: cut_short(f["mask"]), r"mask\.nii\.gz: not a readable NIfTI file .*copy it again"),
    "one volume": (
        lambda f: replace_image(f["dwi"], lambda d: d[..., 0]),
        r"3-D image of 6 × 6 × 4, but a scan has 4 dimensions and at least 2 volumes; give the whole series",
    ),
    "missing scan": (lambda f: f["dwi"].unlink(), r"dwi\.nii\.gz: no such file; check the path"),
    "missing vectors": (lambda f: f["bvec"].unlink(), r"dwi\.bvec: no such file; check the path"),
    "too few directions": (
        lambda f: rewrite(f["bvec"], lambda v: np.where(np.arange(32) % 6 == 0, v, 0.0)),
        r"no shell has 6 directions, the fewest that show a fibre; give a scan with more",
    ),
}  # fmt: skip


def refusal(capsys, out: Path, *arguments: object) -> str:
    """Run a command that must fail on bad input and write nothing; return its one line of error."""
    place = next(folder for folder in out.parents if folder.is_dir())
    before = everything_in(place)
    ran = run_program(capsys, *arguments, "--out", out)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert everything_in(place) == before
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    stages = {"gradient check", "responses", "first estimate", "training", "inference", "peaks", "writing"}
    others = [line for line in ran.err.splitlines() if not line.startswith(("error: ", "warning: "))]
    assert len(errors) == 1 and set(others) <= stages, ran.err
    return errors[0]


@pytest.mark.parametrize("command", ["fit", "infer"])
@pytest.mark.parametrize("case", CASES)
def test_bad_scan(capsys, tmp_path, files, command, case):
    change, pattern = CASES[case]
    change(files)
    options = QUICK if command == "fit" else ("--model", "small")
    message = refusal(capsys, tmp_path / "a" / "b" / "out", command, *words(files), *options)
    assert re.search(pattern, message), message


def test_response_for_other_shells(capsys, tmp_path, files, phantom):
    wm = phantom.responses[0]
    write_response(tmp_path / "wm.txt", Response("wm", np.array([0.0, 1000.0, 2000.0]), wm.coefficients))
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), "--wm", tmp_path / "wm.txt", *QUICK)
    assert "response for b = 0, 1000, 2000 but the scan has b = 0, 1000, 3000; give a response for these" in message


def test_responses_without_white_matter(capsys, tmp_path, files):
    (tmp_path / "gm.txt").touch()
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), "--gm", tmp_path / "gm.txt", *QUICK)
    assert "1 response given (gm) but none of white matter; add --wm" in message


def test_two_gradient_tables(capsys, tmp_path, files):
    (tmp_path / "dwi.b").touch()
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), "--grad", tmp_path / "dwi.b", *QUICK)
    assert "2 gradient tables given" in message


def test_scan_without_fibres(capsys, tmp_path, files):
    """Water, or noise: a response cannot be estimated, and to say so is better than to invent fibres."""
    noise = np.random.default_rng(0).normal(500, 20, (*SHAPE, 32)).astype(np.float32)
    replace_image(files["dwi"], lambda data: noise)
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), *QUICK)
    assert "no white matter found" in message and "give the responses as files" in message


def test_output_is_a_file(capsys, tmp_path, files):
    (tmp_path / "out").write_text("precious")
    assert "is a file; give a folder" in refusal(capsys, tmp_path / "out", "fit", *words(files), *QUICK)


def test_output_below_a_file(capsys, tmp_path, files):
    (tmp_path / "file").write_text("precious")
    message = refusal(capsys, tmp_path / "file" / "out", "fit", *words(files), *QUICK)
    assert "cannot be written (Not a directory); choose another --out" in message


def test_output_not_writable(capsys, tmp_path, files, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # tests may run as root, whom no permission stops
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), *QUICK)
    assert "cannot be written (Permission denied); choose another --out" in message


def test_a_full_disk_names_the_file_that_was_to_be(capsys, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    ran = run_program(capsys, "simulate", "crossing", "--shape", 6, 6, 4, "--noise-free", "--out", tmp_path / "out")
    assert ran.code == 2 and re.search(rf"error: {tmp_path}/out/[\w.]+: cannot be written \(No space left", ran.err)
    assert ".partial" not in ran.err and not list(tmp_path.iterdir())


def test_output_holds_files(capsys, tmp_path, files):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), *QUICK)
    assert message.endswith("holds 1 file already (thesis.txt, …); give another --out")


@pytest.mark.parametrize("command", ["infer", "fit", "simulate"])
def test_force_spares_a_folder_that_is_no_result(capsys, files, command):
    """Whatever its files are called: they are the user's."""
    out = files["dwi"].parent
    for name in ("log.csv", "loss.png", "intensity_field.nii.gz", "response_gm.txt", "dwi.bval"):
        (out / name).touch()
    arguments = ("simulate", "crossing") if command == "simulate" else (command, *words(files))
    message = refusal(capsys, out, *arguments, "--force")
    assert "files already" in message and message.endswith("and --force replaces nothing but an earlier result; give "
                                                           "another --out")


def test_force_spares_what_is_read(capsys, tmp_path, files):
    out = tmp_path / "phantom"
    assert run_program(capsys, "simulate", "crossing", "--shape", 6, 6, 4, "--out", out).code == 0
    message = refusal(capsys, out, "infer", out / "dwi.nii.gz", "--mask", files["mask"], "--force")
    assert message.endswith("dwi.nii.gz: is read by this run, and --force would replace it; give another --out")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
     RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 8 bytes")],
    ids=["GPU", "NumPy", "CPU"],
)  # fmt: skip
def test_no_memory_for_training_names_a_smaller_tile(capsys, tmp_path, files, monkeypatch, error):
    def fail(network, features, mask):
        raise error

    monkeypatch.setattr(Deconvolver, "forward", fail)
    options = (*QUICK, "--tile", "8")
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), *given_responses(tmp_path), *options)
    assert "training on tiles of 8 voxels a side, with a network of width 2, does not fit into memory" in message
    assert "give --tile 4, which is smaller than 8" in message


def no_memory_for_a_volume(monkeypatch):
    consume = Deconvolver.consume

    def fail_on_volume(network, given, mask, window=None):
        if given[0].shape[2] == SHAPE[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return consume(network, given, mask, window)

    monkeypatch.setattr(Deconvolver, "consume", fail_on_volume)


def test_no_memory_for_inference_after_training(capsys, tmp_path, files, monkeypatch):
    """What was trained is kept, to go on from."""
    no_memory_for_a_volume(monkeypatch)
    options = (*given_responses(tmp_path), *QUICK, "--tile", 4, "--out", tmp_path / "out")
    before = set(everything_in(tmp_path))
    ran = run_program(capsys, "fit", *words(files), *options)
    assert ran.code == 2 and "a box of 6 × 6 × 4 voxels does not fit into memory" in ran.err
    assert "close other programs, or give a smaller --width" in ran.err
    assert set(everything_in(tmp_path)) - before == {"out.partial", "out.partial/checkpoint.safetensors"}


def test_no_memory_for_inference_names_a_smaller_tile(capsys, tmp_path, files, monkeypatch):
    fitted = run_program(capsys, "fit", *words(files), *given_responses(tmp_path), *QUICK, "--out", tmp_path / "fit")
    assert fitted.code == 0, fitted.err
    no_memory_for_a_volume(monkeypatch)
    model = ("--model", tmp_path / "fit" / "model.safetensors")
    for tile, says in ((4, "than 8 and 6 voxels: give --tile 2"), (2, "than 4 and 6 voxels: close other programs")):
        message = refusal(capsys, tmp_path / "out", "infer", *words(files), *model, "--tile", tile)
        assert "a box of 6 × 6 × 4 voxels does not fit into memory" in message and says in message


def given_responses(folder: Path) -> list[str]:
    """Write and return white matter's response: estimating takes longer than the whole fit."""
    exact = crossing_phantom(60.0, shape=(2, 2, 2), protocol=PROTOCOL).responses[0]
    write_response(folder / "wm.txt", exact)
    return ["--wm", str(folder / "wm.txt")]


def test_engines_that_are_not_there(capsys, tmp_path, files, monkeypatch):
    monkeypatch.setattr("shd.engines.choice.compiled_engine", lambda: "no C++ compiler (none of c++ is there)")
    message = refusal(capsys, tmp_path / "out", "fit", *words(files), *QUICK, "--engine", "compiled")
    assert "the compiled engine cannot run (no C++ compiler" in message and "use engine auto or torch" in message
    ran = run_program(capsys, "fit", *words(files), *QUICK, "--engine", "quick", "--out", tmp_path / "out")
    assert ran.code == 2 and "--engine quick: give one of auto, compiled, torch, reference" in ran.err


@pytest.mark.parametrize(
    ("device", "says"),
    [("cuda", "can use 0 CUDA devices here; give --device cpu"), ("cuda:1", "can use 0 CUDA devices"),
     ("gpu", "'gpu' is not one of cpu, cuda"), ("cuda:", "'cuda:' is not one of"), ("cpu:0", "'cpu:0' is not one of"),
     ("CPU", "'CPU' is not one of")],
)  # fmt: skip
@pytest.mark.parametrize("command", ["fit", "infer"])
def test_device_that_is_not_there(capsys, tmp_path, files, monkeypatch, command, device, says):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = ("--steps", "1") if command == "fit" else ("--model", "small")
    message = refusal(capsys, tmp_path / "out", command, *words(files), *options, "--device", device)
    assert says in message


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--minutes", "1", "--steps", "5"), "give one of them"), (("--minutes", "0"), "give more than 0"),
     (("--degree", "7"), "give an even number from 2 to 16"), (("--degree", "18"), "give an even number from 2 to 16"),
     (("--tile", "5"), "give an even number from 2"), (("--steps", "0"), "--steps"), (("--threads", "0"), "--threads"),
     (("--stepz", "3"), "--stepz"), (("--steps", "many"), "--steps")],
)  # fmt: skip
def test_options_that_cannot_be(capsys, tmp_path, files, options, says):
    before = everything_in(tmp_path)
    ran = run_program(capsys, "fit", *words(files), "--out", tmp_path / "out", *options)
    assert ran.code == 2 and everything_in(tmp_path) == before
    assert says in " ".join(ran.err.replace("│", " ").split())


def test_a_bug_leaves_nothing_but_what_was_trained(tmp_path, files, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("a bug")

    monkeypatch.setattr(OutputFolder, "publish", fail)
    before = everything_in(tmp_path)
    with pytest.raises(AssertionError, match="a bug"):
        run_program(capsys, "fit", *words(files), *given_responses(tmp_path), *QUICK, "--out", tmp_path / "out")
    kept = {"out.partial", "out.partial/checkpoint.safetensors"}  # what was trained
    assert set(everything_in(tmp_path)) == {*before, "wm.txt", *kept}
