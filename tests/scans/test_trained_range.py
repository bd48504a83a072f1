import numpy as np
import pytest

from shd.scans.coherent_estimate import relative_noise
from shd.scans.normalisation import normalise
from shd.scans.trained_range import TrainedRange, joined, range_of
from shd.simulation import crossing_phantom
from shd.simulation.protocols import CLINICAL, RESEARCH


def own(protocol, snr=20.0):
    phantom = crossing_phantom(60.0, shape=(8, 8, 6), protocol=protocol, snr=snr)
    scan = normalise(phantom.scan)
    return range_of(scan, phantom.responses, relative_noise(scan))


def test_the_range_of_a_scan():
    ends = own(RESEARCH).ends
    assert ends["b-values (s/mm²)"] == (1000.0, 3000.0) and ends["directions a shell"] == (30, 60)
    assert ends["SNR at b=0"][0] == pytest.approx(20, rel=0.1) and ends["voxel size (mm)"] == pytest.approx((2.0, 2.0))
    decay = ends["diffusivity of the white-matter response (mm²/s)"][0]
    assert 5e-4 < decay < 1e-3  # about a third of the trace


def test_what_leaves_the_range_is_named_with_both_numbers():
    trained = joined([own(CLINICAL), own(CLINICAL, 30.0)])
    assert trained.outside(own(CLINICAL)) == []
    found = trained.outside(own(RESEARCH))
    assert [line.split()[0] for line in found if not line.startswith("SNR")] == ["b-values", "directions"]
    assert "b-values (s/mm²) 1000 to 3000 (trained: 1000 to 1000)" in found


def test_ranges_join_by_their_ends_and_rounding_is_forgiven():
    first, second = TrainedRange({"b": (1.0, 2.0)}), TrainedRange({"b": (1.5, 3.0), "c": (0.0, 1.0)})
    assert joined([first, second]).ends == {"b": (1.0, 3.0), "c": (0.0, 1.0)}
    assert first.outside(TrainedRange({"b": (0.99, 2.03)})) == []
    assert first.outside(TrainedRange({"b": (0.9, 2.0)})) == ["b 0.9 to 2 (trained: 1 to 2)"]
    assert np.isfinite(list(joined([first]).ends.values())).all()
