"""Architecture: imports point one way, modules are small, the library neither prints nor exits."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "shd"
FOLDERS = (
    "sphere", "graphs", "engines", "signal", "models", "fodf", "scans", "simulation", "evaluation", "training",
    "inference", "tracking", "io", "report", "fitting", "cli",
)  # fmt: skip
BASE = ("errors", "just_in_time", "processors", "_version")
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50


def modules(package: Path) -> dict[str, ast.Module]:
    """Dotted name → syntax tree of every module of a package."""
    trees = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        trees[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return trees


def imports(trees: dict[str, ast.Module], name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in it, in functions too."""
    package = name.partition(".")[0]
    found = set()
    for node in ast.walk(trees[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import; write the full name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in trees else str(node.module))
    return {target for target in found if target.partition(".")[0] == package and target != name}


def rank(name: str) -> int:
    """Place in the one-way order: types and errors first, then the folders, the package's own front last."""
    chapter = [*name.split("."), ""][1].removeprefix("__main__")
    if chapter in BASE:
        return -1
    return FOLDERS.index(chapter) if chapter else len(FOLDERS)


def backward_imports(trees: dict[str, ast.Module]) -> list[str]:
    """Imports of a later folder, as 'importer -> imported'. Only a command may import the package's front."""
    return [
        f"{name} -> {target}"
        for name in trees
        for target in sorted(imports(trees, name))
        if rank(target) > rank(name) and not (name.split(".")[1:2] == ["cli"] and "." not in target)
    ]


def import_cycle(trees: dict[str, ast.Module]) -> list[str]:
    """One cycle among the modules, or nothing."""
    try:
        TopologicalSorter({name: imports(trees, name) for name in trees}).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def calls(tree: ast.Module) -> set[str]:
    """Names of functions called and of attributes read, as print or sys.exit."""
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return called | {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    end = function.end_lineno or function.lineno
    first = function.body[0]
    described = ast.get_docstring(function) is not None
    return end - function.lineno + 1 - ((first.end_lineno or first.lineno) - first.lineno + 1 if described else 0)


TREES = modules(PACKAGE)


def test_every_folder_has_its_place_in_the_order():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")}
    assert folders <= set(FOLDERS)
    assert {path.stem for path in PACKAGE.glob("*.py")} <= {*BASE, "__init__", "__main__"}


def test_imports_point_one_way():
    assert backward_imports(TREES) == []


def test_no_import_cycles():
    assert import_cycle(TREES) == []


@pytest.mark.parametrize("name", TREES)
def test_a_module_is_small_quiet_and_named_after_what_it_holds(name):
    tree = TREES[name]
    path = PACKAGE.parent.joinpath(*name.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert len(source.splitlines()) <= LONGEST_MODULE
    assert not VAGUE & set(name.split("."))
    assert ast.get_docstring(tree), "a module says what it holds"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: code_lines(f) for f in functions if code_lines(f) > LONGEST_FUNCTION} == {}
    if name.split(".")[1:2] != ["cli"]:
        assert not {"print", "exit", "quit", "sys.exit", "os._exit", "sys.argv", "input"} & calls(tree)


@pytest.fixture
def bad_package(tmp_path):
    """A small package that breaks each rule once."""
    sources = {
        "shd/__init__.py": "",
        "shd/errors.py": "",
        "shd/sphere/__init__.py": "",
        "shd/sphere/harmonics.py": "def f():\n    from shd.models import unet\n",
        "shd/models/__init__.py": "",
        "shd/models/unet.py": "import shd.models.blocks\nfrom shd.errors import ShdError\nfrom shd import fit\n",
        "shd/models/blocks.py": "from shd.models.unet import UNet\nimport sys\nprint(sys.argv)\n",
        "shd/cli/__init__.py": "",
        "shd/cli/fit.py": "from shd import fit\n",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return modules(tmp_path / "shd")


def test_the_rules_catch_a_package_that_breaks_them(bad_package):
    assert backward_imports(bad_package) == ["shd.models.unet -> shd", "shd.sphere.harmonics -> shd.models.unet"]
    assert set(import_cycle(bad_package)) == {"shd.models.unet", "shd.models.blocks"}
    assert {"print", "sys.argv"} <= calls(bad_package["shd.models.blocks"])
    long = ast.parse("def f():\n    '''Two\n    lines.'''\n" + "    x = 1\n" * 49).body[0]
    assert code_lines(long) == LONGEST_FUNCTION


def test_importing_shd_is_quick():
    """`import shd` alone loads no numerical library: its functions come when asked for."""
    script = "import sys, shd; print({'torch', 'numpy', 'dipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"


def test_shapes_are_checked_while_tests_run():
    """conftest.py's hook is on: a wrong array shape is an error here, though not in use."""
    from shd.sphere.directions import normalised

    with pytest.raises(Exception, match="vectors"):
        normalised(np.zeros((4, 2)))
