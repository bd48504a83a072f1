"""Results that were stored for a machine, so that a later change shows what it won or lost.

One JSON file a machine: results under a title, which names the benchmark and all its sizes.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import torch

from benchmarks.harness.cases import Result

__all__ = ["FOLDER", "machine", "machine_key", "record", "save", "stored_medians"]

FOLDER = Path(__file__).parent.parent / "baselines"


def machine() -> dict[str, str | int]:
    """Return what a time depends on: processor, cores, graphics card."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"cpu": models[0] if models else platform.processor(), "cores": os.cpu_count() or 1, "gpu": gpu}


def machine_key() -> str:
    """Return the machine as a file name without extension."""
    words = machine()
    text = f"{words['cpu']} {words['cores']} cores" + ("" if words["gpu"] == "none" else f" {words['gpu']}")
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {"machine": machine(), "results": {}}


def record(results: Sequence[Result], **others: object) -> dict:
    """Return results as JSON holds them, with the versions they belong to; others: kept beside them, as the floors."""
    kept = ("timing", "error", "floor", "memory", "amount", "parts", "skipped")
    rows = {
        result.name: {name: value for name in kept if (value := asdict(result)[name]) not in (None, {})}
        for result in results
    }
    return {"date": date.today().isoformat(), "torch": torch.__version__, **others, "rows": rows}


def save(title: str, results: dict, folder: Path = FOLDER) -> Path:
    """Store what `record` made under `title`, in place of what was there; return the file."""
    path = folder / f"{machine_key()}.json"
    content = _read(path)
    content["results"][title] = results
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return path


def stored_medians(title: str, folder: Path = FOLDER) -> dict[str, float]:
    """Return the stored median seconds by row; empty where this machine has none for `title`."""
    rows = _read(folder / f"{machine_key()}.json")["results"].get(title, {}).get("rows", {})
    return {name: row["timing"]["median"] for name, row in rows.items() if "timing" in row}
