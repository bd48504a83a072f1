"""Every choice of a segmentation's training: defaults, a stored configuration, and what is given, in this order."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from shd.errors import SettingsError, number_of
from shd.fitting.train_choices import check_names, made, read_configuration
from shd.io.labels import MOST_LABELS
from shd.io.subject_inputs import inputs_of, state_name
from shd.io.subjects import Subject
from shd.models.pq.config import SegmentationConfig
from shd.training.segmentation_settings import SegmentationSettings

__all__ = ["label_values", "segmentation_choices", "segmentation_fingerprint"]

_NETWORK, _CLASSES = "network", "classes"


def segmentation_choices(
    given: Mapping[str, Any], configuration: Path | None = None, kind: str | None = None
) -> tuple[SegmentationSettings, SegmentationConfig]:
    """Return settings and network: those given before those of a JSON file, and these before the defaults.

    configuration: fields of `SegmentationSettings` by name, and under "network" those of `SegmentationConfig`, but for
    its classes, of which the label images decide. kind: of the network. Raises SettingsError for an unknown name, a
    value that cannot be, or two budgets.
    """
    stored = read_configuration(configuration) if configuration else {}
    if "minutes" in given and "steps" in given:
        raise SettingsError(f"{given['minutes']} minutes and {number_of(given['steps'], 'step')}; give one of them")
    if "steps" in given:
        stored.pop("minutes", None)
    network = stored.pop(_NETWORK, {})
    if not isinstance(network, Mapping):
        raise SettingsError(f'setting network: {network!r}; write choices as {{"kind": "equivariant", …}}')
    network = dict(network) | ({"kind": kind} if kind else {})
    check_names(stored, [field.name for field in fields(SegmentationSettings)] + [_NETWORK])
    check_names(network, [field.name for field in fields(SegmentationConfig) if field.name != _CLASSES])
    try:
        config = SegmentationConfig(**network)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"setting network: {network} cannot be ({error}); see SegmentationConfig") from error
    return made(SegmentationSettings, stored | dict(given)), config


def label_values(text: str | None) -> tuple[int, ...] | None:
    """Return the values in a text such as "1,2". Raises SettingsError for other than whole numbers from 1 to 255."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MOST_LABELS for word in words):
        raise SettingsError(f"labels {text!r}: give whole numbers from 1 to {MOST_LABELS} with commas between, as 1,2")
    return tuple(sorted(map(int, words)))


def segmentation_fingerprint(
    settings: SegmentationSettings,
    config: SegmentationConfig,
    subjects: Sequence[Subject],
    held_out: frozenset[int],
    labels: Sequence[int] | None,
    resample: bool,
    ignore_bad_voxels: bool,
) -> str:
    """Return a short name of everything that shapes the result; where it is computed is no part."""
    shaping = replace(settings, device="cpu", checkpoint_seconds=0.0)
    files = [(subject.name, state_name(inputs_of(subject, labelled=True))) for subject in subjects]
    reading = (labels, resample, ignore_bad_voxels)
    return hashlib.sha256(repr((shaping, config, files, sorted(held_out), reading)).encode()).hexdigest()[:12]
