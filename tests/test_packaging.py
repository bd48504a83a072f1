"""What makes a clean machine work: metadata, versions, the Makefile's set-up."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from setuptools import find_packages

import shd

ROOT = Path(__file__).parent.parent
TARGETS = ("demo", "test", "lint", "bench", "clean", "help")


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(setup):
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["dev"]
    return [Requirement(line) for line in lines.split("\n") if line]


def test_the_installed_version_is_the_packages_own():
    assert metadata.version("shd") == shd.__version__


def test_the_program_is_installed():
    (entry,) = metadata.entry_points(group="console_scripts", name="shd")
    assert entry.value == "shd.cli.main:run"
    assert callable(entry.load())


def test_every_folder_with_code_is_in_the_wheel(setup):
    """A folder without __init__.py works from the checkout and is missing from the wheel."""
    found = set(find_packages(ROOT, include=[setup["options.packages.find"]["include"]]))
    assert found == {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "shd").rglob("*.py")}
    for pattern in re.split(r",\s*", setup["options.package_data"]["shd"]):
        assert list((ROOT / "shd").glob(pattern)), pattern


def test_every_file_is_in_the_wheel(setup):
    """Sources of the compiled kernels, and whatever else is no module, need a line of their own."""
    patterns = {package: re.split(r",\s*", line) for package, line in setup["options.package_data"].items()}
    carried = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in ROOT.joinpath(*package.split(".")).glob(glob)
    }
    files = {path for path in (ROOT / "shd").rglob("*") if path.is_file() and path.suffix != ".py"}
    held = {path for path in files if path.parent.name != "__pycache__"}
    assert carried == held


def test_every_dependency_has_both_bounds(setup):
    for requirement in requirements(setup):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, str(requirement)


def test_an_editable_install_is_found_from_the_folder_that_holds_the_clone(tmp_path):
    """The clone, a folder named shd, is a namespace package there; only a real package on a path goes before it."""
    pytest.importorskip("setuptools", minversion="70.1")
    clone, wheel, site = tmp_path / "shd", tmp_path / "wheel", tmp_path / "site"
    (clone / "shd").mkdir(parents=True)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "shd/__init__.py", "shd/_version.py"):
        shutil.copy(ROOT / name, clone / name)
    build = f"from setuptools import build_meta; print(build_meta.build_editable({str(wheel)!r}))"
    wheel.mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    (built,) = wheel.iterdir()
    shutil.unpack_archive(built, site, "zip")
    find = f"import site; site.addsitedir({str(site)!r}); import shd; print(shd.__file__, callable(shd.__getattr__))"
    found = subprocess.run([sys.executable, "-S", "-c", find], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.split() == [str(clone / "shd" / "__init__.py"), "True"]


WITH_TORCH = {"triton"}  # its builds for GPUs bring it, and without it torch's own operations run


IMPORTED_AS = {"sklearn": "scikit-learn", "trx": "trx-python"}


def test_every_import_of_another_library_is_declared(setup):
    script = "import sys; print(*sys.stdlib_module_names)"
    standard = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.split())
    pattern = re.compile(r"^\s*(?:from|import)\s+(\w+)", re.MULTILINE)
    imported = {name for path in (ROOT / "shd").rglob("*.py") for name in pattern.findall(_code(path))}
    declared = {requirement.name.lower() for requirement in requirements(setup)}
    assert {IMPORTED_AS.get(name, name) for name in imported - standard - {"shd"} - WITH_TORCH} <= declared


def _code(path):
    """Source without triple-quoted text, in which lines may begin with 'from'."""
    return re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)


def test_the_tested_torch_and_pythons_are_allowed(setup):
    (torch,) = [requirement for requirement in requirements(setup) if requirement.name == "torch"]
    assert "2.13.0" in torch.specifier
    pythons = SpecifierSet(setup["options"]["python_requires"])
    assert [minor for minor in range(8, 16) if f"3.{minor}.0" in pythons] == [10, 11, 12, 13]


def test_one_home_a_tool():
    sections = configparser.ConfigParser()
    sections.read(ROOT / "setup.cfg")
    assert {"tool:pytest", "mypy"} <= set(sections)
    text = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r"^\[tool\.(\w+)", text, re.MULTILINE)) == {"ruff"}
    for stray in ("pytest.ini", "tox.ini", "mypy.ini", "ruff.toml", ".ruff.toml", "setup.py", "conftest.py"):
        assert not (ROOT / stray).exists()


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments):
    """Run make as a person would, though `make test` may be what runs this."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=outside, capture_output=True, text=True)


def planned(*arguments):
    """What make would do, without doing it."""
    ran = make("-n", *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@needs_make
def test_make_alone_lists_the_targets():
    assert set(re.findall(r"^make (\w+)", make().stdout, re.MULTILINE)) == set(TARGETS)


@needs_make
@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench"])
def test_make_sets_up_once_and_again_when_the_dependencies_change(tmp_path, target):
    assert "pip install" in planned(target, f"VENV={tmp_path}")
    (tmp_path / ".installed").touch()
    assert "pip install" not in planned(target, f"VENV={tmp_path}")
    assert "pip install" in planned(target, f"VENV={tmp_path}", "--what-if=setup.cfg")


@needs_make
def test_the_demo_ends_with_how_to_find_the_program(tmp_path):
    assert f". {tmp_path}/bin/activate" in planned("demo", f"VENV={tmp_path}").splitlines()[-1]


@needs_make
def test_make_without_a_usable_python_says_which_it_needs(tmp_path):
    ran = make("test", f"VENV={tmp_path / 'venv'}", "PYTHON=/nowhere/python")
    assert ran.returncode != 0
    assert "Python 3.10 to 3.13" in ran.stderr
    assert not (tmp_path / "venv").exists()


def test_the_check_script_is_valid_bash():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)
