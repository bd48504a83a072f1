"""Random scans are what they say: within their ranges, by their seed alone, with responses near the true ones."""

from functools import lru_cache

import numpy as np
import pytest

from shd.signal.gradients import axis_count
from shd.simulation.random_scans import BVALUES, DIRECTIONS, VOXEL_MM, random_protocol, random_scan

SIDE = 6


@lru_cache(maxsize=8)
def scan(seed):
    return random_scan(seed, SIDE)


def test_protocols_stay_within_their_ranges_and_reach_over_them():
    protocols = [random_protocol(np.random.default_rng(seed)) for seed in range(400)]
    shells = [shell for protocol in protocols for shell in protocol.shells]
    bvalues, counts = np.array(shells).T
    assert BVALUES[0] <= bvalues.min() < 600 and 4500 < bvalues.max() <= BVALUES[1]
    assert DIRECTIONS[0] == counts.min() and 100 < counts.max() <= DIRECTIONS[1]
    assert {len(protocol.shells) for protocol in protocols} == {1, 2, 3, 4}
    for protocol in protocols:
        values = np.array([bvalue for bvalue, _ in protocol.shells])
        assert (values[1:] >= 1.25 * values[:-1]).all()
        assert sum(count for _, count in protocol.shells) <= 200 + 4 * DIRECTIONS[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_scan_is_of_its_size_with_truth_and_responses_at_its_shells(seed):
    phantom, responses = scan(seed)
    table = phantom.scan.gradients
    assert phantom.scan.shape == (SIDE,) * 3 and phantom.tissue_fractions[..., 0].mean() >= 0.1
    assert VOXEL_MM[0] <= phantom.scan.voxel_sizes.min() and phantom.scan.voxel_sizes.max() <= 1.5 * VOXEL_MM[1]
    assert all(axis_count(table.shell_directions(shell)) >= 6 for shell in table.weighted_shells)
    tissues = [response.tissue for response in responses]
    many = len(table.weighted_shells) > 1
    assert tissues == ["wm", "gm", "csf"] if many else tissues in (["wm"], ["wm", "csf"], ["wm", "gm", "csf"])
    true = {response.tissue: response for response in phantom.responses}
    for response in responses:
        given = true[response.tissue]
        np.testing.assert_array_equal(response.bvalues, given.bvalues)
        np.testing.assert_array_equal(response.coefficients[0], given.coefficients[0])
        np.testing.assert_allclose(response.mean_signal, given.mean_signal, rtol=0.4)
        assert not np.array_equal(response.coefficients[1:], given.coefficients[1:])


def test_the_seed_decides_all():
    (one, responses), (again, same) = scan(1), random_scan(1, SIDE)
    np.testing.assert_array_equal(one.scan.data, again.scan.data)
    np.testing.assert_array_equal(one.fods, again.fods)
    np.testing.assert_array_equal(responses[0].coefficients, same[0].coefficients)
    assert one.scan.data.shape != scan(2)[0].scan.data.shape or not np.array_equal(one.scan.data, scan(2)[0].scan.data)
