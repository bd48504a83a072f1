import numpy as np

from shd.simulation.tissues import CSF, GREY_MATTER, WHITE_MATTER, tissue_responses
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics

BVALUES = np.array([0.0, 1000.0, 2000.0, 3000.0])


def test_white_response_is_the_signal_of_a_fibre_along_z():
    directions = half_sphere(80)
    harmonics = even_harmonics(directions, 12)[:, [l * (l + 1) // 2 for l in range(0, 13, 2)]]
    white = tissue_responses(BVALUES, 12)[0]
    for bvalue, row in zip(BVALUES, white.coefficients, strict=True):
        expected = WHITE_MATTER.signal(np.full(80, bvalue), directions[:, 2])
        # What degree 12 cannot hold is below 0.1 % of the b=0 intensity of 1000.
        np.testing.assert_allclose(harmonics @ row, expected, atol=1.0)


def test_white_response_of_a_lower_degree_is_the_same_cut_short():
    np.testing.assert_allclose(
        tissue_responses(BVALUES, 8)[0].coefficients, tissue_responses(BVALUES, 12)[0].coefficients[:, :5], atol=1e-9
    )


def test_isotropic_responses_hold_the_signal_times_root_four_pi():
    _, grey, csf = tissue_responses(BVALUES)
    for response, tissue in ((grey, GREY_MATTER), (csf, CSF)):
        assert response.isotropic
        np.testing.assert_allclose(response.coefficients[:, 0], tissue.signal(BVALUES) * np.sqrt(4 * np.pi))


def test_tissues_have_one_b0_intensity_and_lose_signal_as_real_ones_do():
    white, grey, csf = (response.coefficients[:, 0] for response in tissue_responses(BVALUES))
    np.testing.assert_allclose([white[0], grey[0], csf[0]], 1000.0 * np.sqrt(4 * np.pi))
    assert white[3] > grey[3] > 10 * csf[3]
