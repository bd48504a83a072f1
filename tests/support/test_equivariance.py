import pytest
import torch

from tests.support.equivariance import DTYPES, assert_equivariant, equivariance_error, unchanged

dtypes = pytest.mark.parametrize("dtype", DTYPES)


def reversed_rows(x):
    return x.flip(0)


def values(dtype):
    return torch.randn(6, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))


@dtypes
def test_a_map_that_commutes_passes(dtype):
    assert_equivariant(torch.sin, reversed_rows, reversed_rows, values(dtype))
    assert_equivariant(lambda x: x.mean(0), reversed_rows, unchanged, values(dtype))


@dtypes
def test_a_map_that_must_fail_fails(dtype):
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(lambda x: x.cumsum(0), reversed_rows, reversed_rows, values(dtype))


@dtypes
def test_a_small_break_of_symmetry_is_seen(dtype):
    def broken(x):
        bump = torch.zeros_like(x)
        bump[0] = 1e-3
        return x + bump

    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(broken, reversed_rows, reversed_rows, values(dtype))
    assert_equivariant(broken, reversed_rows, reversed_rows, values(dtype), tolerance=1e-2)


def test_an_equivariant_map_is_not_invariant():
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(torch.sin, reversed_rows, unchanged, values(torch.float64))


def test_tests_that_prove_nothing_are_refused():
    x = values(torch.float64)
    with pytest.raises(AssertionError, match="leaves the input"):
        assert_equivariant(torch.sin, unchanged, unchanged, x)
    with pytest.raises(AssertionError, match="gives zero"):
        assert_equivariant(torch.zeros_like, reversed_rows, reversed_rows, x)
    with pytest.raises(AssertionError, match="the map turns"):
        assert_equivariant(lambda x: x.float(), reversed_rows, reversed_rows, x)
    with pytest.raises(AssertionError, match="expected"):
        assert_equivariant(lambda x: x[:2], reversed_rows, lambda y: y[:1], x)


def test_the_error_is_relative_to_the_output():
    x = torch.tensor([1.0, 0.5], dtype=torch.float64)
    assert equivariance_error(lambda x: 10 * x.cumsum(0), reversed_rows, reversed_rows, x) == pytest.approx(2 / 3)
