"""Exact versions of everything that shd needs, from the environment that runs this: `python -m tests.support.lock`."""

import configparser
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
LOCK, GPU_LOCK = ROOT / "requirements.lock", ROOT / "requirements-gpu.lock"
PYTHON = {
    "python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux", "platform_system": "Linux",
    "platform_machine": "x86_64", "os_name": "posix", "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}  # fmt: skip
"""What the container is."""
HEAD = """# Exact versions for the containers, of Python 3.11 on Linux: what shd and its extra `cluster` depend on, what
# these need, and what builds the wheel. Written by `python -m tests.support.lock`, where the tests pass.
"""


def applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    """Return whether the container needs it."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**PYTHON, "extra": extra}) for extra in ("", *extras))


def declared() -> list[Requirement]:
    """Return what setup.cfg asks for, with the extra `cluster`, and setuptools."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"] + parser["options.extras_require"]["cluster"]
    found = [Requirement(line) for line in (*lines.split("\n"), "setuptools>=70.1") if line]
    return [requirement for requirement in found if applies(requirement)]


def needed_by(requirement: Requirement) -> list[Requirement]:
    """Return what the installed distribution needs in the container. Raises PackageNotFoundError without one."""
    found = [Requirement(line) for line in distribution(requirement.name).requires or []]
    return [each for each in found if applies(each, requirement.extras)]


def closure() -> dict[str, str]:
    """Return the installed version of everything needed, by name; torch's without its local part, `+cpu`."""
    found: dict[str, str] = {}
    waiting, seen = declared(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        try:
            waiting += needed_by(requirement)
        except PackageNotFoundError:
            if name.startswith(("nvidia-", "cuda-")) or name == "triton":  # torch's builds for GPUs alone
                continue
            raise
        found[name] = Version(distribution(name).version).public
    return found


def read_lock(path: Path) -> dict[str, str]:
    """Return the versions in a lock file by name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


if __name__ == "__main__":
    LOCK.write_text(HEAD + "\n".join(f"{name}=={version}" for name, version in sorted(closure().items())) + "\n")
    print(f"wrote {LOCK}")
