"""The least time of a layer, from counted work and measured rates."""

import numpy as np
import pytest

from benchmarks.harness import floors
from benchmarks.harness.floors import LayerWork, MachineRates, block_multiplications, measured_rates
from benchmarks.harness.timing import Timing
from shd.graphs.hemisphere import symmetry_permutations, vertex_count
from shd.graphs.hierarchy import sphere_hierarchy


def test_at_nside_8_a_change_of_basis_takes_70_multiplications_a_vertex():
    assert round(block_multiplications(8) / vertex_count(8)) == 70


@pytest.mark.parametrize("nside", [2, 4])
def test_the_blocks_are_those_of_the_laplacian_itself(nside):
    """Block sizes by brute force: the group's average of permutation matrices, weighted by a character, projects."""
    symmetries = symmetry_permutations(nside)
    count = vertex_count(nside)
    matrices = [np.eye(count)[permutation] for _, permutation in symmetries]
    characters = {  # identity, quarter, half and three-quarter turn, then the four mirrors
        "A1": (1, [1, 1, 1, 1, 1, 1, 1, 1]),
        "A2": (1, [1, 1, 1, 1, -1, -1, -1, -1]),
        "B1": (1, [1, -1, 1, -1, 1, -1, 1, -1]),
        "B2": (1, [1, -1, 1, -1, -1, 1, -1, 1]),
        "E": (2, [2, 0, -2, 0, 0, 0, 0, 0]),
    }
    laplacian = sphere_hierarchy(nside, 1).levels[0].laplacian.toarray()
    expected, vertices = 0, 0
    for dimension, values in characters.values():
        projector = sum(dimension * v * matrix for v, matrix in zip(values, matrices, strict=True)) / 8
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
        np.testing.assert_allclose(projector @ laplacian, laplacian @ projector, atol=1e-12)
        multiplicity = round(np.trace(projector)) // dimension
        expected += dimension * multiplicity**2
        vertices += dimension * multiplicity
    assert vertices == count
    assert block_multiplications(nside) == expected


def test_operations_of_a_layer_are_counted_by_hand():
    work = LayerWork(nside=8, voxels=512, channels_in=32, channels_out=64)
    transform, mixing = block_multiplications(8), 4 * 384 * 32 * 64
    assert work.operations(backward=False) == 2 * 512 * (transform * (32 + 64) + mixing)
    assert work.operations(backward=True) == 2 * 512 * (2 * transform * (32 + 64) + 3 * mixing)
    assert work.traffic(backward=False, width=4) == 4 * 384 * 512 * (32 + 64)


def test_the_floor_is_whichever_takes_longer():
    work = LayerWork(nside=2, voxels=8, channels_in=4, channels_out=4)
    operations, traffic = work.operations(False), work.traffic(False, 4)
    assert work.floor(MachineRates(operations / 3, 1.0, traffic), False, "float32") == pytest.approx(3)
    assert work.floor(MachineRates(operations, 1.0, traffic / 5), False, "float32") == pytest.approx(5)
    assert work.floor(MachineRates(1.0, operations / 2, traffic), False, "bfloat16") == pytest.approx(2)


@pytest.mark.parametrize(("convolved", "best"), [(0, 2.0 * 4 * 3 * 5), (2, 2.0 * 27 * 2 * 2 * 8)])
def test_a_rate_is_the_best_of_all_products(monkeypatch, convolved, best):
    """With every call taking a second, the largest product counts, and a copy reads and writes."""
    monkeypatch.setattr(floors, "measure", lambda call, patience: Timing(1.0, 1.0, 1.0, 1))
    monkeypatch.setattr(floors, "_COPIED", 1024)
    monkeypatch.setattr(floors, "_SHAPES", ((2, 3, 5), (4, 3, 5)))
    monkeypatch.setattr(floors, "_CONVOLUTIONS", ((convolved, 4),))
    measured_rates.cache_clear()
    rates = measured_rates(1)
    measured_rates.cache_clear()
    assert rates == MachineRates(best, best, 2048.0)


def test_rates_are_said_in_units_of_people():
    said = "matrix products 120 GFLOP/s (float32), 500 GFLOP/s (bfloat16), copy 30.2 GB/s"
    assert str(MachineRates(1.2e11, 5e11, 3.02e10)) == said
