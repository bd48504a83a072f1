"""A participant's page in a BIDS dataset: plain HTML with the picture and the numbers of every scan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shd.io.bids_names import Entities
from shd.report.page import PAGE_END, items, page_start, picture, rows, section
from shd.report.run_words import run_words

__all__ = ["participant_page"]


def participant_page(label: str, results: Sequence[tuple[Entities, Mapping[str, Any]]]) -> str:
    """Return HTML of a participant's results; it links to the pictures and needs nothing else.

    results: entities and record (run.json with `files`, paths below the page's folder) of each.
    """
    parts = "".join(section(_title(entities), _content(record)) for entities, record in results)
    return page_start(f"sub-{label}: fibre orientation distributions") + parts + PAGE_END


def _content(record: Mapping[str, Any]) -> Iterator[str]:
    files = record["files"]
    if "figure" in files:
        yield picture(files["figure"], "fODFs over three planes")
    yield rows(run_words(record))
    yield items(f"{name}: {path}" for name, path in files.items())


def _title(entities: Entities) -> str:
    labels = (
        entities.session and f"session {entities.session}", entities.other, entities.space and f"in {entities.space}",
        entities.after,
        entities.desc,
    )  # fmt: skip
    return ", ".join(filter(None, labels)) or "scan"
