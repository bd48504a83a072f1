"""The compiled deterministic tracker against a readable one, on fields that bend and cross."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from shd.fodf.field import FodField
from shd.fodf.peak_reference import climb_without_derivatives
from shd.fodf.peaks import find_peaks
from shd.sphere.directions import normalised
from shd.tracking.deterministic import DeterministicTracker
from shd.tracking.deterministic_kernel import interpolate
from shd.tracking.field import tracking_field
from shd.tracking.seeds import Seeds
from shd.tracking.settings import settings_for
from tests.tracking.phantoms import PEAK, fods_along

SHAPE = (9, 8, 7)
AFFINE = np.diag([2.0, 2.2, 2.5, 1.0])


def random_field(generator, crossing):
    """Fibres whose direction changes linearly over the volume, and others across them, on a ragged mask."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    slopes = generator.normal(0, 0.03, (3, 3))
    first = normalised(np.array([1.0, 0.3, 0.2]) + grid @ slopes)
    wm = fods_along(first)
    if crossing:
        wm = 0.6 * wm + 0.4 * fods_along(np.broadcast_to(normalised(np.array([[-0.2, 1.0, 0.1]]))[0], first.shape))
    mask = generator.uniform(size=SHAPE) > 0.03
    return FodField(np.where(mask[..., None], wm, 0).astype(np.float32), {}, AFFINE, mask)


def followed(field, point, direction, settings):
    """One way from a point, as the tracker's docstring says: interpolate, climb, step."""
    dense = np.zeros((*field.rows.shape, field.coefficients.shape[1]))
    dense[field.mask] = field.coefficients[field.rows[field.mask]]
    line = [point]
    while len(line) < 100:
        here = [
            map_coordinates(dense[..., n], line[-1][:, None], order=1, mode="constant")[0]
            for n in range(dense.shape[-1])
        ]
        top, height = climb_without_derivatives(np.array(here), direction[None])
        top = top[0] * np.sign(top[0] @ direction)
        if height[0] < settings.cutoff or top @ direction < np.cos(np.radians(settings.angle)):
            break
        after = line[-1] + top * settings.step / field.voxel_sizes
        if not field.mask[tuple(np.rint(after).astype(int))]:
            break
        line.append(after)
        direction = top
    return np.array(line)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), crossing=st.booleans())
def test_it_goes_where_the_readable_one_goes(seed, crossing):
    generator = np.random.default_rng(seed)
    field = tracking_field(random_field(generator, crossing))
    chosen = settings_for(field.voxel_sizes, algorithm="deterministic", cutoff=0.3 * PEAK, step=1.0)
    voxel = np.argwhere(field.mask)[generator.integers(field.mask.sum())]
    point = voxel + generator.uniform(-0.49, 0.49, 3)
    row = field.rows[tuple(voxel)]
    start = find_peaks(field.coefficients[row : row + 1], count=1).directions[0].astype(float)
    ours = DeterministicTracker(field, chosen, 1).follow(Seeds(point[None], start, np.arange(1)))[0]
    forwards, backwards = (followed(field, point, sign * start[0], chosen) for sign in (1, -1))
    expected = np.concatenate([backwards[:0:-1], forwards])
    # An amplitude or an edge within rounding of its limit may end one a step before the other.
    assert abs(len(ours) - len(expected)) <= 1
    middle = np.linalg.norm(ours - point, axis=1).argmin(), len(backwards) - 1
    after = min(len(ours) - middle[0], len(expected) - middle[1])
    before = min(middle)
    pairs = (ours[middle[0] - before : middle[0] + after], expected[middle[1] - before : middle[1] + after])
    np.testing.assert_allclose(*pairs, atol=2e-3)


@pytest.mark.parametrize(
    "point", [(2.0, 3.0, 1.0), (2.3, 3.7, 1.5), (0.0, 0.0, 0.0), (-0.4, 7.3, 6.4), (8.4, -0.2, 3.1)]
)
def test_interpolation_is_trilinear_with_zero_outside(point):
    generator = np.random.default_rng(1)
    rows = np.full(SHAPE, -1, np.int32)
    mask = generator.uniform(size=SHAPE) > 0.2
    rows[mask] = np.arange(mask.sum())
    values = generator.normal(size=(mask.sum(), 6)).astype(np.float32)
    dense = np.zeros((*SHAPE, 6))
    dense[mask] = values
    total = np.empty(6)
    interpolate(values, rows, *point, total)
    padded = np.pad(dense, ((1, 1),) * 3 + ((0, 0),))
    at = np.array(point)[:, None] + 1
    expected = [map_coordinates(padded[..., n], at, order=1)[0] for n in range(6)]
    np.testing.assert_allclose(total, expected, atol=1e-6)
