"""What filters are made of: field types, orders and couplings, harmonics and their convention, radial functions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import SettingsError
from shd.models.pq.coupling import ANGULAR_BASES, Path, coupling_tensor, harmonics, paths
from shd.models.pq.fields import HIGHEST_ORDER, FieldType
from shd.models.pq.radial import radial_basis
from shd.sphere.harmonics import even_harmonics
from tests.models.pq.field_symmetries import A_TURN, component_matrix, order_matrix
from tests.models.pq.q_samples import shell

DOUBLE = torch.float64
orders = st.integers(0, 3)


def test_vectors_are_x_y_z_of_the_voxel_axes():
    vectors = torch.randn(5, 3, dtype=DOUBLE)
    expected = 3**0.5 * vectors / vectors.norm(dim=1, keepdim=True)
    torch.testing.assert_close(harmonics(1, vectors)[:, 1:], expected)


def test_harmonics_are_those_of_mrtrix_about_the_y_axis():
    """e3nn's polar axis is y, its azimuth counts from z to x, and it has no Condon–Shortley sign: docs/pq.md."""
    vectors = shell(30)
    ours = harmonics(4, vectors).numpy()
    theirs = even_harmonics(vectors[:, [2, 0, 1]].numpy(), 4) * (4 * torch.pi) ** 0.5
    for order, start in ((2, 1), (4, 6)):
        signs = [(-1) ** m for m in range(-order, order + 1)]
        torch.testing.assert_close(
            torch.from_numpy(ours[:, order**2 : (order + 1) ** 2]),
            torch.from_numpy(theirs[:, start : start + 2 * order + 1] * signs),
        )


def test_no_direction_has_order_0_alone():
    assert harmonics(3, torch.zeros(1, 3, dtype=DOUBLE)).tolist() == [[1.0] + 15 * [0.0]]
    assert harmonics(1, torch.full((1, 3), 1e-17, dtype=DOUBLE)).tolist() == [[1.0, 0.0, 0.0, 0.0]], "rounding"


@given(orders, orders)
def test_product_paths_are_all_that_the_rules_allow(into, out):
    every = {
        Path(p, q, f)
        for p in range(10)
        for q in range(10)
        for f in range(10)
        if abs(into - out) <= f <= into + out and abs(p - q) <= f <= p + q and abs(f - p) <= 1 and abs(f - q) <= 1
    }
    found = paths("tp", into, out)
    assert set(found) == every and len(found) == len(every)


def test_product_paths_by_hand():
    assert paths("tp", 0, 0) == [(0, 0, 0), (1, 1, 0)]
    assert paths("tp", 0, 1) == [(0, 1, 1), (1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1)]
    assert paths("p", 1, 1) == [(0, 0, 0), (1, 0, 1), (2, 0, 2)]
    assert paths("q", 1, 1, reflections=True) == [(0, 0, 0), (0, 2, 2)]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(ANGULAR_BASES), orders, orders)
def test_couplings_turn(angular, into, out):
    turn = A_TURN.matrix
    for path in paths(angular, into, out):
        tensor = coupling_tensor(path, into, out)
        matrices = [order_matrix(order, turn) for order in (out, into, path.p, path.q)]
        turned = torch.einsum("oimn,ao,bi,cm,dn->abcd", tensor, *matrices)
        torch.testing.assert_close(turned, tensor, rtol=1e-9, atol=1e-9)
        assert float(tensor.square().sum()) == pytest.approx(2 * out + 1), "orthonormal"


@pytest.mark.parametrize("name", ["gaussian", "cosine", "learnt"])
def test_radial_functions_are_as_many_as_asked_and_smooth(name):
    basis = radial_basis(name, 4, 1.0).double()
    lengths = torch.linspace(0, 2, 400, dtype=DOUBLE)
    values = basis(lengths)
    assert values.shape == (400, 4)
    assert float(values.diff(dim=0).abs().max().detach()) < 0.05
    assert torch.equal(radial_basis(name, 1, 0.0)(lengths), torch.ones(400, 1, dtype=DOUBLE))


def test_cosine_bumps_add_up_to_one_and_end():
    values = radial_basis("cosine", 3, 1.0)(torch.linspace(0, 2, 9, dtype=DOUBLE))
    torch.testing.assert_close(values[:5].sum(1), torch.ones(5, dtype=DOUBLE))
    assert float(values[-3:].abs().max()) < 1e-30


def test_gaussian_bumps_are_the_published_ones():
    value = radial_basis("gaussian", 3, 1.0)(torch.tensor([0.3], dtype=DOUBLE))
    assert value[0].tolist() == pytest.approx([2.718281828 ** -(((0.3 - c) / 0.4) ** 2) for c in (0, 0.5, 1)])


def test_field_types_know_where_their_numbers_stand():
    kind = FieldType((2, 0, 1))
    assert (kind.dimension, kind.orders, kind.scalars, kind.tensors) == (7, (0, 2), 2, 1)
    assert (kind.block(0), kind.block(1), kind.block(2)) == (slice(0, 2), slice(2, 2), slice(2, 7))
    assert kind.component_counts() == [1, 1, 5] and str(kind) == "2×l0+1×l2"
    assert component_matrix(kind, A_TURN.matrix).shape == (7, 7)


@pytest.mark.parametrize("channels", [(), (0, 0), (1, -1), (0,) * (HIGHEST_ORDER + 1) + (1,)])
def test_field_types_that_cannot_be_are_refused(channels):
    with pytest.raises(SettingsError):
        FieldType(channels)


@pytest.mark.parametrize("arguments", [("bessel", 2, 1.0), ("cosine", 0, 1.0), ("gaussian", 2, -1.0)])
def test_radial_bases_that_cannot_be_are_refused(arguments):
    with pytest.raises(SettingsError):
        radial_basis(*arguments)
