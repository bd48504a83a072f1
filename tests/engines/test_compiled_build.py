"""Building the kernels: what a machine may lack, what a user is told then, and that the result is kept."""

import ctypes
import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import torch

from shd.engines.choice import choose_engine, compiled_engine, describe_engine
from shd.engines.compiled import build, estimate, operations
from shd.engines.compiled.build import BuildError, library_path
from shd.engines.compiled.library import Kernels, kernels
from shd.errors import ResourceError
from shd.simulation.protocols import RESEARCH
from tests.engines.cases import CUTS, Case, assert_equals_reference
from tests.support.engines import require
from tests.support.rounds import assert_compiled_equals_double

REMEMBERED = (compiled_engine, library_path, kernels)
X = torch.zeros(6, 1, 2, 2, 2, 3)


def forget():
    for cached in REMEMBERED:
        cached.cache_clear()


@pytest.fixture(scope="module")
def real_library():
    """The library of this machine; tests that need it are skipped, and say why, where there is none."""
    require("compiled")
    return library_path()


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine where nothing is built yet, to take something away from."""
    monkeypatch.setenv("SHD_CACHE", str(tmp_path / "cache"))
    forget()
    yield monkeypatch
    forget()


@pytest.fixture
def compiler(real_library, machine, tmp_path):
    """A compiler that copies what the real one has made, so that tests are quick; it writes down how it was called."""
    made = tmp_path / "made.so"
    shutil.copy(real_library, made)

    def install(body=""):
        """Let `body` happen before the library is copied; $out is where to, "$@" how it was called."""
        script = tmp_path / "compiler"
        script.write_text(
            f'#!/bin/sh\nif [ "$1" = --version ]; then echo "pretended 1"; exit; fi\necho "$@" >> {tmp_path}/calls\n'
            f'for out; do :; done\n{body}\ncp {made} "$out"\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        machine.setenv("CXX", str(script))

    install()
    return install


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def assert_falls_back(reason):
    """Nobody is stopped, and who asks for it, or for a description, is told why and what to do."""
    forget()
    assert choose_engine("auto", X, 4).name == "torch"
    assert reason in describe_engine("auto", "cpu")
    assert describe_engine("auto", "cpu").startswith("torch; ")
    with pytest.raises(ResourceError) as caught:
        choose_engine("compiled", X, 4)
    assert reason in str(caught.value) and "use engine auto or torch" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_compiler(machine, tmp_path):
    machine.setenv("PATH", str(tmp_path))
    machine.delenv("CXX", raising=False)
    with pytest.raises(BuildError, match=r"no C\+\+ compiler \(none of c\+\+, g\+\+, clang\+\+ is there\)"):
        library_path()
    assert_falls_back("no C++ compiler (none of c++, g++, clang++ is there)")


def test_with_a_compiler_that_is_not_there(machine):
    """Who names one wants that one and no other."""
    machine.setenv("CXX", "no-such-compiler")
    assert_falls_back("no C++ compiler (CXX=no-such-compiler is not there)")


def test_a_compiler_that_fails_is_quoted(compiler, tmp_path):
    compiler("echo 'engine.cpp:1: error: cannot read this' >&2; echo 'and more' >&2; exit 1")
    assert_falls_back(f"{tmp_path}/compiler failed: engine.cpp:1: error: cannot read this")
    assert not list((tmp_path / "cache").glob("**/*.so"))


def test_a_compiler_that_fails_silently(compiler):
    compiler("exit 3")
    assert_falls_back("failed: exit code 3")


def test_a_compiler_that_never_ends(compiler, machine):
    machine.setattr(build, "_SECONDS", 0.2)
    compiler("exec sleep 20")
    assert_falls_back("timed out after 0.2 seconds")


def test_a_compiler_that_cannot_run(machine, tmp_path):
    script = tmp_path / "compiler"
    script.write_text("neither a script nor a program")
    script.chmod(0o755)
    machine.setenv("CXX", str(script))
    assert_falls_back("compiler: ")


def test_a_compiler_that_writes_nothing(compiler):
    compiler("exit 0")
    assert_falls_back("cannot be written (No such file or directory)")


@pytest.mark.parametrize("missing", ["-march=native", "-fopenmp", "-m"])
def test_options_that_a_compiler_does_not_know_are_left_out(compiler, missing, tmp_path):
    compiler(f'case " $* " in *" {missing}"*) echo "unknown option {missing}" >&2; exit 1;; esac')
    assert library_path().exists()
    assert missing in calls(tmp_path)[0]
    assert f" {missing}" not in calls(tmp_path)[-1]


def test_the_library_is_built_once_and_kept(compiler, tmp_path):
    first = library_path()
    made = first.stat().st_mtime_ns
    assert first.parent == tmp_path / "cache"
    forget()  # as in another process
    assert library_path() == first and first.stat().st_mtime_ns == made
    assert len(calls(tmp_path)) == 1
    assert list(first.parent.iterdir()) == [first], "nothing else is left in the cache"
    assert choose_engine("compiled", X, 4).name == "compiled"


def test_another_compiler_processor_or_source_builds_again(compiler, machine, tmp_path):
    names = [library_path().name]
    machine.setattr(build, "_processor", lambda: "flags: another one")
    forget()
    names.append(library_path().name)
    sources = tmp_path / "sources"
    shutil.copytree(build._SOURCES, sources)
    (sources / "engine.cpp").write_text("// changed\n")
    machine.setattr(build, "_SOURCES", sources)
    forget()
    names.append(library_path().name)
    shutil.copy(tmp_path / "compiler", tmp_path / "other")
    machine.setenv("CXX", str(tmp_path / "other"))
    forget()
    names.append(library_path().name)
    assert len(set(names)) == 4 == len(calls(tmp_path))


def test_a_broken_source_is_quoted(real_library, machine, tmp_path):
    """With the real compiler."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "engine.cpp").write_text("int shd( {\n")
    machine.setattr(build, "_SOURCES", sources)
    assert_falls_back("engine.cpp:1:")


@pytest.fixture
def no_folder(tmp_path):
    """A path that nobody can make a folder at, the administrator neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "cache"


def test_a_cache_that_cannot_be_written_falls_to_the_temporary_folder(compiler, machine, no_folder, tmp_path):
    machine.delenv("SHD_CACHE")
    machine.setenv("XDG_CACHE_HOME", str(no_folder))
    machine.setattr("tempfile.tempdir", str(tmp_path))
    folder = library_path().parent
    assert folder.parent == tmp_path and folder.name.startswith("shd-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_without_a_home_folder(compiler, machine, tmp_path):
    """As in a container whose user has no entry."""

    def no_home(_=None):
        raise RuntimeError("Could not determine home directory.")

    machine.delenv("SHD_CACHE")
    machine.delenv("XDG_CACHE_HOME", raising=False)
    machine.setattr(Path, "home", no_home)
    machine.setattr("tempfile.tempdir", str(tmp_path))
    assert library_path().parent.parent == tmp_path


def test_a_named_cache_that_cannot_be_written_is_an_error(compiler, machine, no_folder):
    """Who names a folder wants that one and no other."""
    machine.setenv("SHD_CACHE", str(no_folder))
    assert_falls_back(f"no cache folder can be written ({no_folder}: Not a directory); SHD_CACHE names another")


def test_a_cache_of_another_user_is_not_used(compiler, machine, tmp_path):
    """Its owner could have any code run."""
    (tmp_path / "cache").mkdir()
    machine.setattr(os, "getuid", lambda: 12345)
    assert_falls_back(f"{tmp_path / 'cache'}: owned by another user")


def test_a_named_cache_in_the_working_folder(compiler, machine, tmp_path):
    machine.chdir(tmp_path)
    machine.setenv("SHD_CACHE", ".")
    assert choose_engine("compiled", X, 4).name == "compiled"


def test_a_library_that_cannot_be_loaded(compiler):
    path = library_path()
    path.write_bytes(b"this is no library")
    assert_falls_back(f"{path} cannot be loaded")


def _runs_here(flags):
    return platform.machine() in ("x86_64", "AMD64") and set(flags) <= set(build._processor().split())


PROCESSORS = {
    "any (SSE2)": (["-march=x86-64", "-fopenmp"], []),
    "AVX alone": (["-march=x86-64", "-mavx"], ["avx"]),
    "AVX2": (["-march=x86-64-v3", "-fopenmp"], ["avx2", "fma", "bmi2", "movbe"]),
    "this one, without OpenMP": (["-march=native"], []),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_kernels_for_other_processors_compute_the_same(name, real_library, monkeypatch, tmp_path):
    """Narrower vectors and fewer registers take other paths through the same source."""
    options, flags = PROCESSORS[name]
    if not _runs_here(flags):
        pytest.skip(f"this processor has not all of {', '.join(flags)}")
    library = tmp_path / "engine.so"
    source = str(build._SOURCES / "engine.cpp")
    subprocess.run([build._compiler(), *build._FLAGS, *options, source, "-o", str(library)], check=True)
    other = Kernels(ctypes.CDLL(str(library)))
    monkeypatch.setattr(operations, "kernels", lambda: other)
    monkeypatch.setattr(estimate, "kernels", lambda: other)
    assert_compiled_equals_double(RESEARCH, 3, nside=2)
    sizes = [
        Case(2, channels=(count, 3), outputs=outputs, halved=(True, False), grid=(2, 4, 2), order=3)
        for count, outputs in ((1, 1), (4, 5), (9, 8), (17, 33))
    ]
    for dtype in (torch.float32, torch.float64):
        for case in [*CUTS.values(), *sizes]:
            assert_equals_reference("compiled", case, dtype)
