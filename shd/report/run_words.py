"""What run.json says of a run, in words: what a reader of a page checks first."""

from collections.abc import Mapping
from typing import Any

__all__ = ["protocol_words", "run_words"]


_FILES = ("bval", "bvec", "grad", "mask", "wm", "gm", "csf")


def run_words(record: Mapping[str, Any]) -> dict[str, str]:
    """Return rows for a page. record: run.json; what it lacks, as those of earlier versions do, is left out."""
    scan, inputs = record.get("scan", {}), record.get("inputs", {})
    words = {"command": _command(record)} if record else {}
    if "dwi" in inputs:
        words["scan"] = str(inputs["dwi"])
        words["with"] = ", ".join(f"{name} {inputs[name]}" for name in _FILES if name in inputs) or "no other file"
    if "mask_voxels" in scan and "shape" in scan:
        words["voxels"] = f"{scan['mask_voxels']} fitted of {' × '.join(map(str, scan['shape'][:3]))}"
    if "shells" in scan:
        words["volumes"] = protocol_words(record)
    if scan.get("snr") is not None:
        words["noise"] = f"SNR {scan['snr']:.1f} of the mean b = 0 signal, in the median voxel"
    if "gradient_coherence" in record:
        words["gradients"] = str(record["gradient_coherence"]["message"])
    if "tissues" in record:
        words["model"] = f"{_network(record)}degree {record.get('degree')}, tissues {', '.join(record['tissues'])}"
    if record.get("steps"):
        words["training"] = _training(record)
    if "engine" in record:
        words["engine"] = str(record["engine"])
    if "seconds" in record:
        words["time"] = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in record["seconds"].items())
    if "finished" in record:
        words["finished"] = f"{record['finished']} by shd {record.get('shd')}{_libraries(record)}"
    if "intensity_normalisation" in record:
        words["intensity"] = _intensity(record["intensity_normalisation"])
    return words


def protocol_words(record: Mapping[str, Any]) -> str:
    """Return the volumes of each shell: "6 at b = 0, 30 at b = 1000"."""
    shells = record.get("scan", {}).get("shells", {})
    return ", ".join(f"{volumes} at b = {bvalue}" for bvalue, volumes in shells.items())


def _command(record: Mapping[str, Any]) -> str:
    name = "shd fit" if record.get("settings") else "shd infer"
    return f"{name}, then shd normalise" if "intensity_normalisation" in record else name


def _network(record: Mapping[str, Any]) -> str:
    settings = record.get("settings") or {}
    start = settings.get("start")
    if start is None:
        return f"{record['inputs']['model']}, " if "model" in record.get("inputs", {}) else ""
    return "trained on this scan alone, " if start == "none" else f"{start}, adapted to this scan, "


def _training(record: Mapping[str, Any]) -> str:
    settings = record.get("settings") or {}
    budget = f" in {settings['minutes']:g} min" if settings.get("minutes") else ""
    words = f"{record['steps']} steps{budget}, seed {settings.get('seed', 'unknown')}"
    held = record.get("held_out_loss")
    return f"{words}; held-out loss {held['first']:.4g} before, {held['best']:.4g} at its best" if held else words


def _libraries(record: Mapping[str, Any]) -> str:
    versions = record.get("versions", {})
    return f" ({', '.join(f'{name} {number}' for name, number in versions.items())})" if versions else ""


def _intensity(made: Mapping[str, Any]) -> str:
    balance = ", ".join(f"{tissue} {weight:.3f}" for tissue, weight in made["Balance"].items())
    return f"divided by {made['Scale']:.4g} on average; balance {balance}"
