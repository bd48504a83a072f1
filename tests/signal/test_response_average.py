import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import ResponseError
from shd.io.responses import write_response
from shd.signal.response import Response
from shd.signal.response_average import mean_response
from shd.simulation.tissues import tissue_responses

BVALUES = np.array([0.0, 1000.0, 2000.0, 3000.0])


def group(size, tissue=0, seed=0, spread=0.1):
    """Responses of one tissue that differ in gain and, a little, in shape."""
    rng = np.random.default_rng(seed)
    exact = tissue_responses(BVALUES, degree=8)[tissue]
    return [
        Response(
            exact.tissue,
            exact.bvalues,
            exact.coefficients * rng.lognormal(0, 0.5) * rng.lognormal(0, spread, exact.coefficients.shape),
        )
        for _ in range(size)
    ]


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("responsemean") is None, reason="MRtrix3's responsemean is not installed")
@pytest.mark.parametrize("tissue", [0, 1, 2])
@pytest.mark.parametrize("size", [2, 5])
def test_equals_responsemean(tmp_path, tissue, size):
    responses = group(size, tissue)
    for number, response in enumerate(responses):
        write_response(tmp_path / f"{number}.txt", response)
    files = [str(number) + ".txt" for number in range(size)]
    subprocess.run(["responsemean", "-quiet", *files, "mean.txt"], cwd=tmp_path, check=True, timeout=60)
    theirs = np.loadtxt(tmp_path / "mean.txt", ndmin=2).reshape(len(BVALUES), -1)
    np.testing.assert_allclose(mean_response(responses).coefficients, theirs, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(gains=st.lists(st.floats(0.01, 100.0), min_size=2, max_size=6))
def test_gains_alone_leave_the_shape_as_it_is(gains):
    exact = tissue_responses(BVALUES, degree=8)[0]
    mean = mean_response([Response("wm", BVALUES, gain * exact.coefficients) for gain in gains])
    np.testing.assert_allclose(mean.coefficients, np.mean(gains) * exact.coefficients, rtol=1e-9, atol=1e-12)


def test_order_does_not_matter():
    responses = group(4)
    np.testing.assert_allclose(
        mean_response(responses[::-1]).coefficients, mean_response(responses).coefficients, rtol=1e-12
    )


def test_jittered_bvalues_are_one_shell():
    first, second = group(2)
    jittered = Response("wm", BVALUES + np.array([0, 10, -20, 60]), second.coefficients)
    np.testing.assert_array_equal(mean_response([first, jittered]).bvalues, [0, 1005, 1990, 3030])


def test_one_response_is_no_group():
    with pytest.raises(ResponseError, match="1 response: a mean needs at least 2"):
        mean_response(group(1))


def test_other_shells_are_refused_with_both():
    first, second = group(2)
    other = Response("wm", np.array([0.0, 1000.0, 2000.0, 3100.0]), second.coefficients)
    with pytest.raises(ResponseError, match=r"b = 0, 1000, 2000, 3100, but the first 4, b = 0, 1000, 2000, 3000"):
        mean_response([first, other])


def test_fewer_shells_are_refused_with_both_numbers():
    first, second = group(2)
    with pytest.raises(ResponseError, match=r"2 has 3 shells.*but the first 4"):
        mean_response([first, Response("wm", BVALUES[:3], second.coefficients[:3])])


def test_other_tissues_and_degrees_are_refused():
    white, grey = group(1, 0)[0], group(1, 1)[0]
    with pytest.raises(ResponseError, match="2 is of gm but the first of wm"):
        mean_response([white, grey])
    with pytest.raises(ResponseError, match="2 is of degree 4 but the first of 8"):
        mean_response([white, Response("wm", BVALUES, white.coefficients[:, :3])])
