"""Compile the kernels once for this processor and keep the result.

The library is kept in the user's cache folder (SHD_CACHE, XDG_CACHE_HOME/shd or ~/.cache/shd; the system's temporary
folder where none can be written), under a name made of the sources, the compiler and the processor.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

__all__ = ["BuildError", "library_path"]

_SOURCES = Path(__file__).parent
_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
_COMPILERS = ("c++", "g++", "clang++")
_SECONDS = 300


class BuildError(Exception):
    """The kernels cannot be compiled or kept; the message says why, in one line."""


def _compiler() -> str:
    named = os.environ.get("CXX")
    found = next((path for name in ([named] if named else _COMPILERS) if (path := shutil.which(name))), None)
    if found is None:
        wanted = f"CXX={named} is not there" if named else f"none of {', '.join(_COMPILERS)} is there"
        raise BuildError(f"no C++ compiler ({wanted})")
    return found


def _processor() -> str:
    """Return what the processor can do: a library for another one would crash."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


def _folders() -> list[Path]:
    named = os.environ.get("SHD_CACHE")
    if named:
        return [Path(named).absolute()]  # the loader looks for a bare file name among the system's libraries
    folders = []
    cache = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # a user without a home, as in some containers
        folders.append(Path(cache) / "shd" if cache else Path.home() / ".cache" / "shd")
    return [*folders, Path(tempfile.gettempdir()) / f"shd-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"]


def _writable_folder() -> Path:
    reasons = []
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                raise PermissionError(13, "owned by another user")  # whose library must not run here
            with tempfile.NamedTemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
    raise BuildError(f"no cache folder can be written ({'; '.join(reasons)}); SHD_CACHE names another")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error


def _compile(compiler: str, target: Path) -> None:
    """Write the library to `target`; without OpenMP (one thread) or for a generic processor if need be."""
    source = str(_SOURCES / "engine.cpp")
    last = ""
    for options in (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-march=native",), ()):
        done = _run([compiler, *_FLAGS, *options, source, "-o", str(target)])
        if done.returncode == 0:
            return
        last = done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit code {done.returncode}"
    raise BuildError(f"{compiler} failed: {last}")


@lru_cache(maxsize=1)
def library_path() -> Path:
    """Return the compiled library, building it if it is not there yet. Raises BuildError."""
    compiler, folder = _compiler(), _writable_folder()
    digest = hashlib.sha256()
    for path in sorted([*_SOURCES.glob("*.h"), *_SOURCES.glob("*.cpp")]):
        digest.update(path.read_bytes())
    version = _run([compiler, "--version"]).stdout
    digest.update(" ".join([compiler, version, _processor(), *_FLAGS]).encode())
    library = folder / f"engine-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        try:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:  # two processes may build at once
                built = Path(scratch) / library.name
                _compile(compiler, built)
                built.replace(library)
        except OSError as error:
            raise BuildError(f"{library} cannot be written ({error.strerror})") from error
    return library
