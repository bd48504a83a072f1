"""Where streamlines may end: shares of tissues, and all that lies outside the mask."""

from dataclasses import replace

import numpy as np

from shd.tracking.field import tracking_field
from shd.tracking.tissues import fibre_share, tissue_maps
from tests.support.affines import AFFINES
from tests.tracking.phantoms import straight_field

FIELD = tracking_field(straight_field(AFFINES["LAS"]))


def with_amounts(**amounts):
    count = len(FIELD.coefficients)
    return replace(FIELD, amounts={name: np.full(count, value, np.float32) for name, value in amounts.items()})


def test_shares_do_not_depend_on_the_scale_of_a_fit():
    for scale in (0.5, 1.0, 3.0):
        field = with_amounts(wm=0.6 * scale, gm=0.3 * scale, csf=0.1 * scale)
        include, exclude = tissue_maps(field)
        np.testing.assert_allclose(fibre_share(field), 0.6, rtol=1e-5)
        np.testing.assert_allclose(include[field.mask], 0.3, rtol=1e-5)
        np.testing.assert_allclose(exclude[field.mask], 0.1, rtol=1e-5)


def test_outside_the_mask_streamlines_may_end():
    include, exclude = tissue_maps(with_amounts(wm=1.0, gm=0.0))
    assert (include[~FIELD.mask] == 1).all() and not exclude[~FIELD.mask].any()


def test_with_white_matter_alone_the_rest_may_be_an_end():
    include, exclude = tissue_maps(with_amounts(wm=0.7))
    np.testing.assert_allclose(include[FIELD.mask], 0.3, atol=1e-6)
    assert not exclude.any()
    assert (fibre_share(with_amounts(wm=1.4)) == 1).all()


def test_voxels_without_any_amount_are_no_white_matter_but_an_end():
    field = with_amounts(wm=0.0, gm=0.0, csf=0.0)
    include, exclude = tissue_maps(field)
    assert not fibre_share(field).any() and (include == 1).all() and not exclude.any()
