"""Every algorithm on fields whose streamlines are known: direction, position, cutoff, ends, and the same every time."""

import tracemalloc

import numpy as np
import pytest

from shd.errors import ScanError
from shd.fodf.field import FodField
from shd.sphere.directions import axial_angle, normalised
from shd.tracking.field import tracking_field
from shd.tracking.probabilistic import above_cutoff
from shd.tracking.seeds import Seeds, seed_batches
from shd.tracking.settings import ALGORITHMS, settings_for
from shd.tracking.tractogram import TRACKERS, track_field
from tests.support.affines import AFFINES
from tests.tracking.phantoms import PEAK, TRUTH, circular_field, crossing_field, straight_field

algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def tracked(fod, where=None, threads=1, **choices):
    field = tracking_field(fod)
    settings = settings_for(field.voxel_sizes, **choices)
    region = field.mask if where is None else field.cropped(where)
    return track_field(field, region, settings, threads=threads)


def lines_of(result):
    streamlines = result.streamlines
    return np.split(streamlines.points.astype(float), streamlines.offsets[1:-1])


def middle_voxel(fod):
    where = np.zeros(fod.mask.shape, bool)
    where[tuple(size // 2 for size in where.shape)] = True
    return where


@algorithms
@pytest.mark.parametrize("name", AFFINES)
def test_a_straight_bundle_is_followed_in_scanner_space(algorithm, name):
    """Its direction within 1° on average, through the seeds' voxel, to the faces of the mask."""
    fod = straight_field(AFFINES[name])
    where = middle_voxel(fod)
    lines = lines_of(tracked(fod, where, algorithm=algorithm, seed_count=200))
    assert len(lines) >= 190
    chords = normalised(np.stack([line[-1] - line[0] for line in lines]))
    mean = normalised((chords * np.sign(chords @ TRUTH)[:, None]).mean(axis=0)[None])
    assert axial_angle(mean, TRUTH[None])[0] < 1.0
    if algorithm == "deterministic":
        assert axial_angle(chords, np.broadcast_to(TRUTH, chords.shape)).max() < 0.05
    centre = fod.affine[:3, :3] @ np.argwhere(where)[0] + fod.affine[:3, 3]
    offset = np.stack([line[np.linalg.norm(line - centre, axis=1).argmin()] - centre for line in lines])
    in_voxels = offset @ np.linalg.inv(fod.affine[:3, :3]).T
    assert np.abs(in_voxels).max() < 1.0
    assert np.abs(in_voxels.mean(axis=0)).max() < 0.15
    inside = np.concatenate(lines) @ np.linalg.inv(fod.affine)[:3, :3].T + np.linalg.inv(fod.affine)[:3, 3]
    assert fod.mask[tuple(np.rint(inside).astype(int).T)].all()
    ends = np.concatenate([line[[0, -1]] for line in lines]) @ np.linalg.inv(fod.affine)[:3, :3].T
    ends += np.linalg.inv(fod.affine)[:3, 3]
    to_face = np.minimum(ends - 0.5, np.array(fod.mask.shape) - 1.5 - ends).min(axis=1)
    assert np.abs(to_face).max() < 0.51  # a step is half a voxel


@pytest.mark.parametrize("name", ["RAS", "oblique", "permuted"])
@pytest.mark.parametrize(("algorithm", "within"), [("deterministic", 0.6), ("probabilistic", 3.0)])
def test_half_a_circle_is_followed_from_end_to_end(algorithm, within, name):
    fod, middle, normal = circular_field(AFFINES[name])
    lines = lines_of(tracked(fod, algorithm=algorithm, seed_count=100, min_length=30.0, step=0.5))
    assert len(lines) > 50
    turned = []
    for line in lines:
        from_middle = line - middle - np.outer((line - middle) @ normal, normal)
        radii = np.linalg.norm(from_middle, axis=1)
        turned.append(np.degrees(np.arccos(from_middle[0] @ from_middle[-1] / radii[0] / radii[-1])))
        assert np.ptp(radii) < 2 * within or algorithm == "probabilistic"
    assert np.median(turned) > 165.0  # Euler's steps lead outwards by a few degrees' worth
    widths = [np.ptp(np.linalg.norm(np.cross(normal, line - middle), axis=1)) for line in lines]
    assert np.median(widths) < within


@pytest.mark.parametrize(("limit", "follows"), [(1.5, False), (4.0, True)])
def test_no_step_turns_by_more_than_the_angle(limit, follows):
    """Half a millimetre on circles of 9 to 19 mm is a turn of 1.5° to 3.2°."""
    fod, _, _ = circular_field(AFFINES["RAS"])
    lines = lines_of(tracked(fod, algorithm="deterministic", seed_count=100, min_length=1.0, step=0.5, angle=limit))
    steps = [normalised(np.diff(line, axis=0)) for line in lines if len(line) > 2]
    turns = np.concatenate([axial_angle(step[1:], step[:-1]) for step in steps])
    assert turns.max() < limit + 0.01
    assert (np.median([len(line) for line in lines]) > 60) == follows


@algorithms
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(algorithm):
    fod = crossing_field(0.4, 60.0)
    one, again, two = (
        tracked(fod, algorithm=algorithm, seed_count=300, seed=3, threads=threads) for threads in (1, 1, 2)
    )
    assert one.streamlines.points.tobytes() == again.streamlines.points.tobytes() == two.streamlines.points.tobytes()
    assert one.streamlines.lengths.tolist() == two.streamlines.lengths.tolist()
    other = tracked(fod, algorithm=algorithm, seed_count=300, seed=4)
    assert other.streamlines.points.tobytes() != one.streamlines.points.tobytes()


@algorithms
def test_no_streamline_goes_where_the_fodf_is_below_the_cutoff(algorithm):
    """A third of the fibres lie across the others: their lobe is followed above 0.2 of the peak, never above 0.45."""
    fod = crossing_field(1 / 3)

    def across(cutoff):
        lines = lines_of(tracked(fod, algorithm=algorithm, seed_count=300, cutoff=cutoff * PEAK, min_length=4.0))
        return [bool(np.ptp(line[:, 1]) > np.ptp(line[:, 0])) for line in lines]

    assert 60 < sum(across(0.2)) < 140
    assert sum(across(0.45)) == 0


@algorithms
def test_lengths_are_within_their_limits(algorithm):
    fod = crossing_field(0.5, 70.0)
    result = tracked(fod, algorithm=algorithm, seed_count=300, min_length=12.0, max_length=18.0, step=0.7)
    lengths = np.array([np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines_of(result)])
    assert 0 < len(lengths) < 300
    assert lengths.min() >= 12.0 - 1e-3 and lengths.max() <= 18.0 + 1e-3


def test_steps_are_as_long_as_they_should_be_on_unequal_edges():
    fod = straight_field(AFFINES["permuted"])
    for algorithm in ALGORITHMS:
        line = lines_of(tracked(fod, algorithm=algorithm, seed_count=20, step=0.8))[0]
        np.testing.assert_allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 0.8, atol=1e-4)


def test_select_stops_with_exactly_so_many_and_they_are_the_first_of_more():
    fod = straight_field(AFFINES["RAS"])
    few, more = (tracked(fod, algorithm="deterministic", select=number) for number in (7, 20))
    assert len(few.streamlines.lengths) == 7 and len(more.streamlines.lengths) == 20
    np.testing.assert_array_equal(few.streamlines.points, more.streamlines.points[: len(few.streamlines.points)])


@algorithms
def test_seeds_are_counted_up_to_the_last_streamline_selected(algorithm):
    fod, choices = straight_field(AFFINES["oblique"]), {"algorithm": algorithm, "min_length": 14.0, "seed_count": 200}
    selected = tracked(fod, select=5, **choices)
    field = tracking_field(fod)
    settings = settings_for(field.voxel_sizes, **choices)
    (_, seeds), *_ = seed_batches(field, field.mask, settings)
    tracker = TRACKERS[algorithm](field, settings, 1)
    for tried, kept in ((selected.seeds, 5), (selected.seeds - 1, 4)):
        first = Seeds(seeds.points[:tried], seeds.directions[:tried], seeds.numbers[:tried])
        lengths = [(len(line) - 1) * settings.step for line in tracker.follow(first)]
        assert sum(length >= 14.0 for length in lengths) == kept


def test_particles_end_in_grey_matter_alone():
    """A bundle along x with CSF at one end and grey matter at the other keeps no streamline that ends in CSF."""
    fod = crossing_field(0.0, shape=(14, 9, 9))
    amounts = {name: np.zeros(fod.mask.shape) for name in ("gm", "csf")}
    wm = fod.wm.copy()
    wm[:3] = wm[11:] = 0
    full = 1 / np.sqrt(4 * np.pi)
    amounts["gm"][:3], amounts["gm"][11:] = full, full
    ends = {}
    for name in ("gm", "csf"):
        here = {tissue: volume.copy() for tissue, volume in amounts.items()}
        here["gm"][11:], here[name][11:] = 0.0, full
        field = FodField(wm, here, fod.affine, fod.mask)
        try:
            ends[name] = lines_of(tracked(field, middle_voxel(fod), algorithm="particle", seed_count=50, cutoff=0.02))
        except ScanError:
            ends[name] = []
    assert len(ends["gm"]) >= 40 and ends["csf"] == []


def test_no_streamlines_are_one_error_with_both_numbers():
    fod = straight_field(AFFINES["RAS"])
    with pytest.raises(ScanError, match=r"0 streamlines from 10 seeds, of 200 to 250 mm"):
        tracked(fod, seed_count=10, min_length=200.0)
    with pytest.raises(ScanError, match=r"0 streamlines from 10 seeds.* exceeds 5; the highest at the seeds is 3\.58"):
        tracked(fod, seed_count=10, cutoff=5.0)


def test_what_dipy_tracks_is_made_without_a_copy_of_the_fods():
    """Of a whole brain's of degree 12 one takes 0.4 GB."""
    field = tracking_field(straight_field(np.eye(4), (30, 30, 30)))
    tracemalloc.start()
    volume = above_cutoff(field, 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * volume.nbytes
    np.testing.assert_array_equal(volume[field.mask][:, 1:], field.coefficients[:, 1:])
