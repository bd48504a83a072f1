"""The table of several results on a page, with what lies far from the others marked."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np

from shd.report.outliers import OUTLYING, modified_z_scores
from shd.report.page import link, section, table, text
from shd.report.result_section import Described
from shd.report.run_words import protocol_words

__all__ = ["LEAST_RESULTS", "group_section", "outlying"]

LEAST_RESULTS = 5
"""With fewer, what is far from the others cannot be told."""

_Number = Callable[[Described], float | None]
_COLUMNS: dict[str, tuple[_Number, str]] = {
    "voxels": (lambda result: float(result.numbers.voxels), "{:.0f}"),
    "SNR": (lambda result: result.record.get("scan", {}).get("snr"), "{:.1f}"),
    "coherence": (lambda result: result.record.get("gradient_coherence", {}).get("score_given"), "{:.3f}"),
    "WM": (lambda result: result.numbers.mean.get("wm"), "{:.1%}"),
    "GM": (lambda result: result.numbers.mean.get("gm"), "{:.1%}"),
    "CSF": (lambda result: result.numbers.mean.get("csf"), "{:.1%}"),
    "tissue sum": (lambda result: result.numbers.tissue_sum, "{:.3f}"),
    "AFD": (lambda result: result.numbers.density, "{:.3f}"),
    "peak": (lambda result: result.numbers.amplitude, "{:.3f}"),
    "no fibre": (lambda result: result.numbers.white_without_fibre, "{:.1%}"),
    "crossing": (lambda result: result.numbers.crossing, "{:.1%}"),
    "residual": (lambda result: result.numbers.residual, "{:.2f}"),
}


def group_section(results: Sequence[Described]) -> str:
    """Return the HTML of the table, each name a link to its part of the page."""
    return section(f"{len(results)} results", _content(results))


def outlying(results: Sequence[Described]) -> dict[str, dict[str, float]]:
    """Return column → name → modified z-score of what is far from the others; nothing of fewer than five results."""
    if len(results) < LEAST_RESULTS:
        return {}
    found: dict[str, dict[str, float]] = {}
    for column, (number, _) in _COLUMNS.items():
        scores = modified_z_scores(np.array([_value(number(result)) for result in results]))
        far = {r.name: float(z) for r, z in zip(results, scores, strict=True) if abs(z) > OUTLYING}
        found |= {column: far} if far else {}
    return found


def _content(results: Sequence[Described]) -> Iterator[str]:
    far = outlying(results)
    shown = {
        name: (number, form)
        for name, (number, form) in _COLUMNS.items()
        if any(np.isfinite(_value(number(result))) for result in results)
    }
    protocols = [_protocol(result) for result in results]
    usual = Counter(protocols).most_common(1)[0][0]
    yield text(
        f"Marked: modified z-scores beyond {OUTLYING:g} of either sign (Iglewicz and Hoaglin 1993), and protocols "
        "other than the most frequent one."
        + ("" if len(results) >= LEAST_RESULTS else f" Of fewer than {LEAST_RESULTS} results no number is marked.")
    )
    cells = []
    for result, protocol in zip(results, protocols, strict=True):
        row = [link(result.name, result.anchor), str(len(result.concerns))]
        row += [
            _cell(number(result), form, far.get(name, {}).get(result.name)) for name, (number, form) in shown.items()
        ]
        cells.append([*row, _marked(protocol, "another protocol" if protocol != usual else "")])
    yield table(("result", "to look at", *shown, "protocol"), cells)
    yield text(
        "SNR: of b = 0. coherence: of neighbouring directions, by the gradient check. WM, GM, CSF: mean shares. AFD, "
        "peak, no fibre, crossing, residual: over white matter. The parts below say how to read each."
    )


def _protocol(result: Described) -> str:
    sizes = " × ".join(f"{size:.2f}" for size in result.voxel_sizes)
    words = protocol_words(result.record) or "shells unknown"
    return f"{words}; {sizes} mm; degree {result.degree}"


def _cell(value: float | None, form: str, score: float | None) -> str:
    known = np.isfinite(_value(value))
    return _marked(form.format(value) if known else "–", "" if score is None else f"modified z-score {score:.1f}")


def _marked(words: str, why: str) -> str:
    return f'<span class="far" title="{escape(why)}">{escape(words)}</span>' if why else escape(words)


def _value(number: float | None) -> float:
    return float("nan") if number is None else float(number)
