"""The README is executed.

The rule: every fenced block is `python`, `sh`, `text` or `json`. Each `python` block is run as a program of its own; of
each `sh` block, the commands that begin with `shd`. All run in the order of the page in one temporary folder, which
holds a small human scan as dwi.nii.gz, dwi.bval, dwi.bvec and mask.nii.gz, again as second.*, and must succeed. A
`shd fit` whose training the page leaves to the default is cut short. A block right below the comment
`<!-- not run: reason -->` is left out.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pytest
from dipy.data import get_fnames

README = Path(__file__).parent.parent / "README.md"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!--\s*not run:\s*\S.*?-->\s*\Z", re.DOTALL)
LANGUAGES = {"python", "sh", "text", "json"}


class Block(NamedTuple):
    """A fenced block: its language, its text, and whether the rule runs it."""

    language: str
    text: str
    runs: bool


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page):
        runs = match[2] in {"python", "sh"} and not NOT_RUN.search(page[: match.start()])
        found.append(Block(match[2], re.sub(f"^{match[1]}", "", match[3], flags=re.MULTILINE), runs))
    return found


def shortened(command: str) -> str:
    """The command, with next to no training if it is a fit that does not say how much."""
    fit = re.match(r"\s*shd +fit\b", command) and not re.search(r"--(minutes|steps)\b", command)
    return f"{command} --steps 2" if fit else command


def programs(page: str) -> list[list[str]]:
    """The argument lists that the page's blocks run as."""
    commands: list[list[str]] = []
    for block in blocks(page):
        if block.runs and block.language == "python":
            commands.append([sys.executable, "-c", block.text])
        elif block.runs:
            lines = block.text.replace("\\\n", " ").splitlines()
            commands += [["sh", "-c", line] for line in map(shortened, lines) if re.match(r"\s*shd\b", line)]
    return commands


@pytest.fixture
def scan_folder(tmp_path):
    """A folder with the corner of the human scan in the dipy package, under the names that the README uses."""
    image, bval, bvec = get_fnames(name="small_64D")
    scan = nibabel.load(image)
    nibabel.save(scan.slicer[:6, :6, :4], tmp_path / "dwi.nii.gz")
    mask = np.ones((6, 6, 4), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, scan.affine), tmp_path / "mask.nii.gz")
    (tmp_path / "dwi.bval").write_text(Path(bval).read_text())
    (tmp_path / "dwi.bvec").write_text(Path(bvec).read_text())
    for ending in (".nii.gz", ".bval", ".bvec"):
        shutil.copy(tmp_path / f"dwi{ending}", tmp_path / f"second{ending}")
    return tmp_path


@pytest.mark.slow
def test_what_the_readme_shows_works(scan_folder):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = programs(README.read_text())
    assert commands, "README.md shows nothing that runs"
    for command in commands:
        ran = subprocess.run(command, cwd=scan_folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command[-1]}\n{ran.stdout}\n{ran.stderr}"


def test_no_block_of_the_readme_escapes_the_rule():
    assert {block.language for block in blocks(README.read_text())} <= LANGUAGES


PAGE = """
```sh
make demo
shd fit dwi.nii.gz \\
    --out out/
  shd --version
shdx
```
1. indented
   ```python
   if True:
       print(1)
   ```
<!-- not run: takes an hour -->
```sh
shd train
```
```python
print(2)
```
```text
shd response
```
"""


def test_the_rule_on_a_page_with_each_kind_of_block():
    assert [block.language for block in blocks(PAGE)] == ["sh", "python", "sh", "python", "text"]
    fit, version, first, second = programs(PAGE)
    assert fit[-1].split() == ["shd", "fit", "dwi.nii.gz", "--out", "out/", "--steps", "2"]
    assert version[-1].split() == ["shd", "--version"]
    assert first[-1] == "if True:\n    print(1)\n"
    assert second[-1] == "print(2)\n"


def test_a_comment_without_a_reason_leaves_nothing_out():
    assert len(programs("<!-- not run: -->\n```python\n1\n```\n")) == 1


def test_only_fits_that_do_not_say_how_much_to_train_are_shortened():
    assert shortened("shd fit a.nii --out b --minutes 1") == "shd fit a.nii --out b --minutes 1"
    assert shortened("shd fit a.nii --out b --steps 9") == "shd fit a.nii --out b --steps 9"
    assert shortened("shd infer a.nii --out b") == "shd infer a.nii --out b"
    assert shortened("shd fit a.nii --out b") == "shd fit a.nii --out b --steps 2"
