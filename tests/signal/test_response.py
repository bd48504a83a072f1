import numpy as np
import pytest

from shd.errors import ResponseError
from shd.signal.response import Response


def test_mean_signal_undoes_the_normalisation():
    response = Response("gm", np.array([0.0, 1000.0]), np.sqrt(4 * np.pi) * np.array([[900.0], [300.0]]))
    np.testing.assert_allclose(response.mean_signal, [900.0, 300.0])
    assert response.isotropic
    assert response.degree == 0


def test_degree_counts_even_columns():
    assert Response("wm", np.array([0.0]), np.array([[1.0, -0.5, 0.1, 0.0, 0.0]])).degree == 8


@pytest.mark.parametrize(
    ("tissue", "bvalues", "coefficients", "message"),
    [
        ("fat", [0.0], [[1.0]], "'fat'"),
        ("wm", [1000.0, 0.0], [[1.0], [1.0]], "do not ascend"),
        ("gm", [0.0, 1000.0], [[1.0], [np.nan]], "finite"),
        ("csf", [0.0, 1000.0], [[1.0], [-1.0]], "above zero"),
    ],
)
def test_what_cannot_be_a_response_is_refused(tissue, bvalues, coefficients, message):
    with pytest.raises(ResponseError, match=message):
        Response(tissue, np.array(bvalues), np.array(coefficients))
