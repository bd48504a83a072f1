"""The scores by plain loops over one voxel at a time: the oracle of the vectorised ones."""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tally:
    errors: list[float] = field(default_factory=list)
    voxels: int = 0
    successes: int = 0
    found: int = 0
    true: int = 0
    matched: int = 0
    over: int = 0
    under: int = 0
    two: int = 0
    both: int = 0


def angle(a: np.ndarray, b: np.ndarray) -> float:
    cosine = abs(float(np.dot(a, b)))
    return math.degrees(math.acos(min(cosine, 1.0)))


def merged(directions: np.ndarray, fractions: np.ndarray) -> list[tuple[np.ndarray, float]]:
    fibres = [(d, float(w)) for d, w in zip(directions, fractions, strict=True) if w > 0]
    while True:
        pairs = [
            (angle(fibres[i][0], fibres[j][0]), i, j) for i in range(len(fibres)) for j in range(i + 1, len(fibres))
        ]
        if not pairs or min(pairs)[0] >= 25:
            return fibres
        _, i, j = min(pairs)
        (a, wa), (b, wb) = fibres[i], fibres[j]
        total = wa * a + wb * (b if np.dot(a, b) >= 0 else -b)
        fibres[i] = (total / np.linalg.norm(total), wa + wb)
        del fibres[j]


def tally_voxel(tally: Tally, peaks: list[np.ndarray], fibres: list[np.ndarray]) -> None:
    matched = 0
    for number, fibre in enumerate(fibres):
        distances = [angle(fibre, peak) for peak in peaks]
        tally.errors.append(min(distances, default=90.0))
        if distances and min(distances) < 25:
            peak = peaks[int(np.argmin(distances))]
            matched += int(np.argmin([angle(other, peak) for other in fibres])) == number
    tally.voxels += 1
    tally.successes += matched == len(fibres) == len(peaks)
    tally.found += len(peaks)
    tally.true += len(fibres)
    tally.matched += matched
    tally.over += max(len(peaks) - len(fibres), 0)
    tally.under += max(len(fibres) - len(peaks), 0)
    if len(fibres) == 2:
        tally.two += 1
        tally.both += matched == 2


def scores(
    found_directions: np.ndarray,
    found_amplitudes: np.ndarray,
    true_directions: np.ndarray,
    true_fractions: np.ndarray,
    relative_threshold: float,
    minimum_fraction: float,
) -> dict[str, float]:
    tally = Tally()
    for voxel in range(len(found_directions)):
        top = max(found_amplitudes[voxel], default=0.0)
        peaks = [
            found_directions[voxel, n]
            for n, amplitude in enumerate(found_amplitudes[voxel])
            if amplitude > 0 and amplitude >= relative_threshold * top
        ]
        fibres = [d for d, w in merged(true_directions[voxel], true_fractions[voxel]) if w >= minimum_fraction]
        tally_voxel(tally, peaks, fibres)
    precision, recall = tally.matched / tally.found, tally.matched / tally.true
    return {
        "voxels": tally.voxels,
        "angular_error": sum(tally.errors) / tally.true,
        "success_rate": tally.successes / tally.voxels,
        "over_estimated": tally.over / tally.voxels,
        "under_estimated": tally.under / tally.voxels,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "both_fibres_found": tally.both / tally.two,
    }
