"""Recipes of containers, read as a builder would: what they copy is there, versions fit, and nobody is root."""

import configparser
import fnmatch
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.lock import GPU_LOCK, LOCK, ROOT, closure, declared, needed_by, read_lock

RECIPES = ("Dockerfile", "shd.def", ".dockerignore", "requirements.lock", "requirements-gpu.lock")


def instructions(text):
    """Return (word, rest) of each instruction of a Dockerfile; lines that end in a backslash go on."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()]


def stages(text):
    """Return the instructions of each stage by its name, those of the stage that it comes from first."""
    found = {}
    for word, rest in instructions(text):
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            current = found[name] = [*found.get(image, []), (word, image)]
        else:
            current.append((word, rest))
    return found


def sections(text):
    """Return the lines of each section of an Apptainer recipe; those before the first are its header, ""."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in text.splitlines():
        begun = re.fullmatch(r"%(\w+)", line)
        name = begun[1] if begun else name
        lines = found.setdefault(name, [])
        if not begun and line.strip() and not line.lstrip().startswith("#"):
            lines.append(line.strip())
    return found


DOCKER = stages((ROOT / "Dockerfile").read_text())
APPTAINER = sections((ROOT / "shd.def").read_text())
TARGETS = pytest.mark.parametrize("target", ["cpu", "gpu"])


def copied(steps):
    return [source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]]


@TARGETS
def test_what_is_copied_is_there_and_let_through(target):
    sources = copied(DOCKER[target])
    assert "shd" in sources and "requirements.lock" in sources
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and set(sources) <= let_through
    assert all((ROOT / source).exists() for source in let_through)
    assert any(fnmatch.fnmatch("shd/cli/__pycache__", line) for line in lines if not line.startswith("!"))


@TARGETS
def test_what_pip_reads_was_copied_before(target):
    held = []
    for word, rest in DOCKER[target]:
        if word == "COPY":
            held += rest.split()[:-1]
        for file in re.findall(r"--requirement (\S+)", rest) if word == "RUN" else []:
            assert file in held
        if word == "RUN" and rest.endswith(" ."):
            assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "shd"} <= set(held)
    installs = " ".join(rest for word, rest in DOCKER[target] if word == "RUN")
    assert ("requirements-gpu.lock" in installs) == (target == "gpu")


@TARGETS
def test_the_program_starts_as_a_user_who_is_not_root(target):
    steps = dict(DOCKER[target])  # the last of each instruction counts
    assert json.loads(steps["ENTRYPOINT"]) == ["shd"] and json.loads(steps["CMD"]) == ["--help"]
    order = [word for word, _ in DOCKER[target]]
    assert steps["USER"] == "shd" and order.index("USER") > max(i for i, word in enumerate(order) if word == "RUN")
    assert any("useradd" in rest and rest.endswith(" shd") for word, rest in DOCKER[target] if word == "RUN")


def test_both_recipes_begin_and_install_alike():
    images = {rest for steps in DOCKER.values() for word, rest in steps if word == "FROM"} - set(DOCKER)
    (image,) = images
    assert f"From: {image}" in APPTAINER[""] and "Bootstrap: docker" in APPTAINER[""]
    python = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", image)[1]
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert f"{python}.0" in SpecifierSet(parser["options"]["python_requires"]) and python == "3.11"
    sources = {source for steps in DOCKER.values() for source in copied(steps)}
    pairs = [line.split() for line in APPTAINER["files"]]
    assert {source for source, _ in pairs} == sources
    assert all(target == f"/src/{source}" for source, target in pairs)
    for step in (
        "--requirement requirements.lock --requirement requirements-gpu.lock",
        "pip install --no-deps --no-build-isolation .",
        "apt-get install --yes --no-install-recommends g++",
    ):
        assert any(step in line for line in APPTAINER["post"])
        assert any(step in rest for steps in DOCKER.values() for word, rest in steps if word == "RUN")
    assert 'exec shd "$@"' in APPTAINER["runscript"] and "exec shd --help" in APPTAINER["runscript"]


@pytest.mark.parametrize("section", ["post", "runscript", "test", "environment"])
def test_scripts_are_valid_shell(section):
    ran = subprocess.run(["bash", "-n"], input="\n".join(APPTAINER[section]), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_no_host_is_named(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|\b[\w-]+\.(org|com|io|net|dev)\b", text)


def test_the_program_is_an_entry_point():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert parser["options.entry_points"]["console_scripts"].split() == ["shd", "=", "shd.cli.main:run"]


@pytest.mark.parametrize("lock", [LOCK, GPU_LOCK], ids=lambda path: path.name)
def test_locks_pin_each_name_once_in_order(lock):
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_the_locks_do_not_contradict_each_other():
    assert not read_lock(LOCK).keys() & read_lock(GPU_LOCK).keys()


def test_pinned_versions_are_those_that_setup_allows():
    pinned = read_lock(LOCK)
    for requirement in declared():
        assert Version(pinned[canonicalize_name(requirement.name)]) in requirement.specifier, str(requirement)


def test_what_the_pinned_need_is_pinned():
    """Where this environment holds a pinned version, its own requirements are met by the lock; torch's by both."""
    pinned, checked = {**read_lock(LOCK), **read_lock(GPU_LOCK)}, 0
    waiting, seen = declared(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        assert Version(pinned[name]) in requirement.specifier, str(requirement)
        try:
            held = Version(version(requirement.name)).public == pinned[name]
        except PackageNotFoundError:
            continue
        if held and (name, frozenset(requirement.extras)) not in seen:
            seen.add((name, frozenset(requirement.extras)))
            waiting += needed_by(requirement)
            checked += 1
    if not checked:
        pytest.skip(f"no pinned version is installed in this Python {sys.version_info[:2]}")


def test_nothing_is_pinned_that_nothing_needs():
    """Where this environment holds the pinned versions, which say what is needed."""
    pinned = read_lock(LOCK)
    try:
        needed = closure()
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    if any(pinned.get(name) != held for name, held in needed.items()):
        pytest.skip("this environment holds other versions, which may need others")
    assert pinned.keys() - needed.keys() == set()


def test_the_reader_sees_what_is_wrong():
    """Its own check: continued lines, stages from stages, the order of instructions."""
    found = stages("# a comment\nFROM a:1 AS x\nRUN one \\\n  && two\nFROM x AS y\nUSER me\n")
    assert found == {"x": [("FROM", "a:1"), ("RUN", "one && two")],
                     "y": [("FROM", "a:1"), ("RUN", "one && two"), ("FROM", "x"), ("USER", "me")]}  # fmt: skip
    assert sections("From: a\n\n%post\n  # no\n  one\n%test\n  two\n") == {
        "": ["From: a"],
        "post": ["one"],
        "test": ["two"],
    }
