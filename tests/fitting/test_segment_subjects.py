"""Labelled scans as a training reads them: signals and labels in files, whatever their number."""

import numpy as np
import pytest

from shd.errors import ScanError
from shd.fitting.segment_subjects import read_study
from shd.io.subjects import read_subjects
from shd.training.losses.segmentation import IGNORED
from tests.support.segmentation import labelled_scan, store_study


def test_signals_and_labels_stay_in_files(tmp_path):
    subjects = read_subjects(store_study(tmp_path, 3, labels=2))
    study = read_study(subjects, frozenset({1}), tmp_path)
    assert [each.name for each in study.learned] == ["s0", "s2"] and study.labels == (0, 1, 2)
    for each in (*study.learned, *study.held_out):
        assert isinstance(each.signal, np.memmap) and isinstance(each.labels, np.memmap)
        scan, truth = labelled_scan(int(each.name[1]), 2)
        np.testing.assert_array_equal(each.labels, np.where(scan.mask, truth, IGNORED)[1:])  # the mask's box


def test_scans_of_one_study_have_voxels_of_one_size(tmp_path):
    first = read_subjects(store_study(tmp_path / "one", 1))
    other = read_subjects(store_study(tmp_path / "other", 2, scale=(1.5, 1.5, 1.5)))[1:]
    with pytest.raises(ScanError, match="s1: dwi: voxels of 3 × 3 × 3 mm instead of the network's 2 × 2 × 2 mm"):
        read_study((*first, *other), frozenset(), tmp_path)
