"""What can be refused without computing is refused before torch and its like are imported."""

import subprocess
import sys

import pytest

from shd.cli import early_checks
from shd.cli.fit import ENGINE_NAMES
from shd.engines import ENGINES
from shd.fitting.simulate import PROTOCOLS
from shd.io.tractograms import TRACTOGRAM_ENDINGS
from shd.simulation.families import FAMILIES

HEAVY = ("torch", "scipy", "dipy", "numba", "matplotlib", "healpy")
WRONG = {
    "odd degree": ("infer dwi.nii --degree 7 --out new", "--degree 7: give an even number"),
    "no scan": ("fit none.nii --out new", "none.nii: no such file; check the path"),
    "no mask": ("infer dwi.nii --mask none.nii --out new", "none.nii: no such file; check the path"),
    "no response": ("fit dwi.nii --wm none.txt --out new", "none.txt: no such file; check the path"),
    "existing folder": ("infer dwi.nii --out held", "held: holds 1 file already (thesis.txt, …); give another --out"),
    "existing maps": ("maps held --dest held", "held: holds 1 file already (thesis.txt, …); give another --dest"),
    "a file as folder": ("fit dwi.nii --out dwi.nii", "dwi.nii: is a file; give a folder that does not exist yet"),
    "no model": ("infer dwi.nii --model larg --out new", "larg: no such network; give base or small, a model.safet"),
    "no start": ("fit dwi.nii --start nope --out new", "nope: no such network; give base or small"),
    "no start of a training": ("train --start nope --out new", "nope: no such network; give base or small"),
    "no list": ("train --subjects none.tsv --out new", "none.tsv: no such file"),
    "no dataset": ("bids none new participant", "none: no such folder; give the folder that QSIPrep wrote"),
    "no segmenter": ("segment predict none dwi.nii --out new", "none: no such network; give a model.safetensors"),
    "no table": ("segment train none.tsv --out new", "none.tsv: no such file"),
    "no prediction": ("segment evaluate none dwi.nii --out new", "none: no such file"),
    "no tractogram": ("track held --out new.vtk", "new.vtk: ends in .vtk; give .trx, .tck, .trk"),
    "no algorithm": ("track held --algorithm best --out new.trx", "--algorithm best: give one of deterministic, prob"),
    "no family": ("simulate brian --out new", "family 'brian': give one of crossing, fanning, kissing"),
    "no protocol": ("simulate brain --protocol hard --out new", "--protocol hard: give one of research, hardi"),
    "no geometry": ("simulate none.json --out new", "none.json: no such file"),
    "no result": ("maps nothere", "nothere: no such file; check the path"),
    "no result to normalise": ("normalise nothere", "nothere: no such file; check the path"),
    "no fODFs": ("peaks nothere --out new.nii", "nothere: no such file; check the path"),
    "no result to export": ("export nothere --to mif", "nothere: no such file; check the path"),
    "no image": ("convert nothere.nii new.nii", "nothere.nii: no such file; check the path"),
    "no truth": ("evaluate held --truth none --out new", "none: no such file; check the path"),
    "no scan for responses": ("response none.nii --out new", "none.nii: no such file; check the path"),
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    (tmp_path / "dwi.nii").touch()
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "thesis.txt").write_text("precious")
    return tmp_path


def test_no_refusal_waits_for_the_numerical_libraries(place):
    """All in one process, which at the end has loaded none of them."""
    script = (
        "import os, sys; from shd.cli.main import run\n"
        "os.chdir(sys.argv[1])\n"
        "for words in sys.stdin.read().splitlines():\n"
        "    try: run(words.split())\n"
        "    except SystemExit as end: print(end.code, file=sys.stderr)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    lines = "\n".join(line for line, _ in WRONG.values())
    ran = subprocess.run([sys.executable, "-c", script, str(place)], input=lines, capture_output=True, text=True)
    assert ran.stdout == "[]\n", ran.stdout + ran.stderr
    said = ran.stderr.splitlines()
    assert said[1::2] == ["2"] * len(WRONG), ran.stderr
    for line, (words, says) in zip(said[::2], WRONG.values(), strict=True):
        assert line.startswith("error: ") and says in line, (words, line)
    assert sorted(path.name for path in place.iterdir()) == ["dwi.nii", "held"]


def test_names_are_those_of_what_computes():
    assert set(ENGINE_NAMES) == set(ENGINES)
    assert tuple(FAMILIES) == early_checks.FAMILY_NAMES
    assert tuple(PROTOCOLS) == early_checks.PROTOCOL_NAMES
    assert early_checks.TRACTOGRAM_ENDINGS == TRACTOGRAM_ENDINGS
