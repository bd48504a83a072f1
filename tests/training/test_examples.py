"""Boxes of scans to learn from: by number alone, of measured scans as they are and changed in known ways."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from shd.errors import SimulationError
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.gradients import axis_count
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training import examples as examples_module
from shd.training.examples import DrawnExamples, Example, MixedExamples, SimulatedExamples, part_of
from shd.training.real_examples import RealExamples, coarser, fewer_directions

PROTOCOL = Protocol("two", 3, ((1000.0, 12), (3000.0, 20)))
SHAPE = (9, 8, 7)


@lru_cache(maxsize=1)
def phantom():
    return crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=np.diag([2.0, 2.0, 2.5, 1.0]))


class Subjects:
    """Two scans; how often each was opened."""

    def __init__(self):
        self.opened = []

    def __len__(self):
        return 2

    def __getitem__(self, number):
        self.opened.append(number)
        scan = phantom().scan
        return replace(scan, data=scan.data * (1.0 + number)), phantom().responses


def same(one: Example, other: Example) -> bool:
    return np.array_equal(one.scan.signal, other.scan.signal) and np.array_equal(one.scan.affine, other.scan.affine)


def test_an_example_is_a_function_of_seed_and_number():
    first, again = RealExamples(Subjects(), 3, side=4), RealExamples(Subjects(), 3, side=4)
    again[5]
    assert all(same(first[number], again[number]) for number in (0, 1, 7))
    assert not same(first[0], first[2]) and not same(first[0], RealExamples(Subjects(), 4, side=4)[0])


def test_subjects_take_turns_and_one_is_open_for_each_box():
    subjects = Subjects()
    examples = RealExamples(subjects, side=4)
    for number in range(4):
        examples[number]
    assert subjects.opened == [0, 1, 0, 1]


@pytest.mark.parametrize("number", range(6))
def test_the_target_is_what_was_measured_at_the_same_voxels(number):
    """The rows are those of the scan, turned as a whole: signals are unchanged, angles and distances as well."""
    example = RealExamples(Subjects(), side=4, fewer=1.0, noisier=1.0, coarser=0.0)[number]
    target, whole = example.target.scan, normalise(phantom().scan)
    np.testing.assert_array_equal(example.scan.rows, target.rows)
    np.testing.assert_allclose(target.affine[:3, :3].T @ target.affine[:3, :3], np.diag([4, 4, 6.25]), atol=1e-9)
    turn = target.affine[:3, :3] @ np.diag([0.5, 0.5, 0.4])
    np.testing.assert_allclose(turn.T @ target.gradients.directions.T, whole.gradients.directions.T, atol=1e-9)
    start = turn.T @ target.affine[:3, 3] / [2, 2, 2.5]
    voxels = target.voxels + np.round(start).astype(int)
    np.testing.assert_allclose(start, np.round(start), atol=1e-6)
    np.testing.assert_allclose(target.signal, whole.signal[whole.rows[tuple(voxels.T)]], rtol=1e-5, atol=1e-6)
    assert len(example.scan.gradients.bvalues) <= len(target.gradients.bvalues)


def test_without_changes_the_scan_is_its_own_target():
    example = RealExamples(Subjects(), side=4, fewer=0.0, noisier=0.0, coarser=0.0)[0]
    assert example.target is None and len(example.scan.b0) == 64


def test_added_noise_is_what_more_noise_would_have_been():
    """The second moment of a magnitude grows by 2σ² of the added noise, whatever the first noise was."""
    scan = phantom().scan
    still = Subjects()
    example = RealExamples(still, side=7, fewer=0.0, noisier=1.0, coarser=0.0)[0]
    shown = (example.scan.signal * example.scan.b0[:, None]).astype(np.float64)
    measured = (example.target.scan.signal * example.target.scan.b0[:, None]).astype(np.float64)
    added = np.sqrt((shown**2 - measured**2).mean() / 2)
    whole = np.median(example.noise * example.scan.b0)
    before = np.median(example.target.noise * example.target.scan.b0)
    assert whole == pytest.approx(np.hypot(before, added), rel=0.15)
    assert scan.data.dtype == np.float32


@pytest.mark.parametrize("seed", range(20))
def test_a_part_of_the_directions_keeps_b0_and_six_axes_a_shell(seed):
    scan, responses = phantom().scan, phantom().responses
    shown, chosen = fewer_directions(scan, responses, np.random.default_rng(seed))
    table = shown.gradients
    assert len(table.b0_volumes) == 3
    assert all(axis_count(table.shell_directions(shell)) >= 6 for shell in table.weighted_shells)
    for response, given in zip(chosen, responses, strict=True):
        np.testing.assert_allclose(response.bvalues, [shell.bvalue for shell in table.shells])
        rows = [int(np.argmin(abs(given.bvalues - b))) for b in response.bvalues]
        np.testing.assert_array_equal(response.coefficients, given.coefficients[rows])
    places = [int(np.flatnonzero((scan.gradients.directions == d).all(axis=1))[0]) for d in table.directions[3:]]
    np.testing.assert_array_equal(shown.data[..., 3:], scan.data[..., places])


def test_sometimes_a_shell_is_left_out_and_sometimes_nothing():
    drawn = [fewer_directions(phantom().scan, phantom().responses, np.random.default_rng(s))[0] for s in range(60)]
    assert {len(scan.gradients.weighted_shells) for scan in drawn} == {1, 2}
    assert {len(scan.gradients.shells[-1].volumes) for scan in drawn} >= {6, 7, 8, 9, 10}


def test_coarser_voxels_are_means_of_those_inside():
    scan = phantom().scan
    mask = scan.mask.copy()
    mask[0, 0, 0] = False
    mask[2:4, 0:2, 0:2] = False
    mask[2, 0:2, 0] = True  # two of eight: too few
    small = coarser(replace(scan, mask=mask))
    assert small.shape == (4, 4, 3) and not small.mask[1, 0, 0] and small.mask.sum() == 47
    inside = scan.data[:2, :2, :2].reshape(8, -1)[1:]
    np.testing.assert_allclose(small.data[0, 0, 0], inside.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(small.affine @ [0, 0, 0, 1], scan.affine @ [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(small.voxel_sizes, 2 * scan.voxel_sizes)


def test_a_mask_of_a_few_voxels_in_a_corner_gives_boxes():
    mask = np.zeros(SHAPE, bool)
    mask[-1, -1, -2:] = True

    class Corner(Subjects):
        def __getitem__(self, number):
            scan, responses = super().__getitem__(number)
            return replace(scan, mask=mask), responses

    for number in range(8):
        assert len(RealExamples(Corner(), side=4, coarser=0.5)[number].scan.b0) >= 1


@lru_cache(maxsize=1)
def simulated():
    return SimulatedExamples(0, 6)[0]


def test_a_part_of_an_example_holds_the_same_voxels_in_the_same_place():
    whole = replace(simulated(), estimates=np.arange(len(simulated().noise) * 6, dtype=np.float16).reshape(-1, 2, 3))
    part = part_of(whole, 4, np.random.default_rng(0))
    assert part.scan.rows.shape == (4, 4, 4)
    at = np.linalg.solve(whole.scan.affine, part.scan.affine)[:3, 3]
    voxels = part.scan.voxels + np.round(at).astype(int)
    rows = whole.scan.rows[tuple(voxels.T)]
    for name in ("signal", "b0"):
        np.testing.assert_array_equal(getattr(part.scan, name), getattr(whole.scan, name)[rows])
    np.testing.assert_array_equal(part.truth.fods, whole.truth.fods[rows])
    np.testing.assert_array_equal(part.truth.tissues, whole.truth.tissues[rows])
    np.testing.assert_array_equal(part.estimates, whole.estimates[rows])
    np.testing.assert_array_equal(part.noise, whole.noise[rows])
    assert part_of(whole, 10, np.random.default_rng(0)).scan.rows.shape == (6, 6, 6)


class Numbers:
    def __init__(self, first):
        self.first = first

    def __getitem__(self, number):
        scan = normalise(phantom().scan)
        return Example(scan, phantom().responses, np.full(len(scan.b0), self.first + number, np.float32))


def number_of(example):
    return int(example.noise[0])


def test_mixed_series_follow_each_other():
    mixed = MixedExamples(((Numbers(0), 3), (Numbers(100), 2)))
    assert [number_of(mixed[number]) for number in range(len(mixed))] == [0, 1, 2, 100, 101]
    with pytest.raises(IndexError):
        mixed[5]


def test_every_example_is_drawn_once_a_turn_in_another_order():
    drawn = DrawnExamples(MixedExamples(((Numbers(0), 10),)), seed=1)
    first, second = ([number_of(drawn[number]) for number in range(turn, turn + 10)] for turn in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert number_of(drawn[7]) == first[7]


def test_a_box_without_white_matter_is_replaced_always_by_the_same(monkeypatch):
    asked = []

    def scan(seed, side):
        asked.append(seed)
        if len(asked) % 3:
            raise SimulationError("too little white matter")
        return real(seed, side)

    real = examples_module.random_scan
    monkeypatch.setattr(examples_module, "random_scan", scan)
    one, other = SimulatedExamples(0, 6)[0], SimulatedExamples(0, 6)[0]
    assert len(set(asked[:3])) == 3 and asked[:3] == asked[3:] and same(one, other)


def test_no_box_with_white_matter_is_an_error(monkeypatch):
    def scan(seed, side):
        raise SimulationError("too little white matter")

    monkeypatch.setattr(examples_module, "random_scan", scan)
    with pytest.raises(SimulationError, match="too little"):
        SimulatedExamples(0, 6)[0]


def test_scans_are_made_of_the_box_alone():
    """What is read of a scan on disk is the box: memory does not grow with the scan."""
    whole, read = phantom().scan, []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            found = np.asarray(self)[key]
            read.append(found.size)
            return found

    scan = Scan(whole.data, whole.affine, whole.gradients, whole.mask)
    object.__setattr__(scan, "data", whole.data.view(Watched))

    class One(Subjects):
        def __getitem__(self, number):
            return scan, phantom().responses

    RealExamples(One(), side=4, coarser=0.0)[0]
    assert max(read) <= 4**3 * whole.data.shape[3]
