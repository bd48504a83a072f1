"""A participant's page in a BIDS dataset: plain HTML with the picture and the numbers of every scan."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from shd.io.bids_names import Entities

__all__ = ["participant_page"]

_STYLE = (
    "body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "img{max-width:100%}table{border-collapse:collapse}td{padding:.2em 1em .2em 0;vertical-align:top}"
    "td:first-child{color:#666}code{font-size:90%}"
)


def participant_page(label: str, results: Sequence[tuple[Entities, Mapping[str, Any]]]) -> str:
    """Return HTML of a participant's results; it links to the pictures and needs nothing else.

    results: entities and record (run.json with `files`, paths below the page's folder) of each.
    """
    parts = "\n".join(_section(entities, record) for entities, record in results)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>sub-{escape(label)}: fODFs</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>sub-{escape(label)}: fibre orientation distributions</h1>\n"
        f"{parts}\n</body></html>\n"
    )


def _section(entities: Entities, record: Mapping[str, Any]) -> str:
    files = record["files"]
    rows = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in _rows(record).items())
    written = "\n".join(f"<li>{escape(name)}: <code>{escape(path)}</code></li>" for name, path in files.items())
    picture = files.get("figure")
    shown = f'<p><img src="{escape(picture)}" alt="fODFs over three planes"></p>\n' if picture else ""
    return f"<h2>{escape(_title(entities))}</h2>\n{shown}<table>\n{rows}\n</table>\n<ul>\n{written}\n</ul>"


def _title(entities: Entities) -> str:
    labels = (
        entities.session and f"session {entities.session}", entities.other, entities.space and f"in {entities.space}",
        entities.after,
        entities.desc,
    )  # fmt: skip
    return ", ".join(filter(None, labels)) or "scan"


def _rows(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what a reader checks first, in words."""
    scan = record["scan"]
    shells = ", ".join(f"{volumes} at b = {bvalue}" for bvalue, volumes in scan["shells"].items())
    rows = {
        "scan": str(record["inputs"]["dwi"]),
        "voxels": f"{scan['mask_voxels']} fitted of {' × '.join(map(str, scan['shape'][:3]))}",
        "volumes": shells,
        "gradients": str(record["gradient_coherence"]["message"]),
        "model": f"{record['inputs']['model']}, degree {record['degree']}, tissues {', '.join(record['tissues'])}",
        "time": ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in record["seconds"].items()),
        "finished": f"{record['finished']} by shd {record['shd']}",
    }
    made = record.get("intensity_normalisation")
    if made:
        balance = ", ".join(f"{tissue} {weight:.3f}" for tissue, weight in made["Balance"].items())
        rows["intensity"] = f"divided by {made['Scale']:.4g} on average; balance {balance}"
    return rows
