"""What the tables compare is comparable: every system's answer is held to shd's own in double precision."""

import time

import pytest

from benchmarks import inference, layer, scaling, step, unet
from benchmarks.harness.cases import measured
from benchmarks.harness.floors import MachineRates
from benchmarks.harness.timing import Patience
from benchmarks.layer_systems import SYSTEMS, TRUTH, LayerProblem, LayerSize
from shd.models.config import ModelConfig
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom

QUICK = Patience(0.0, 1, warm_up=0.0)
WORST = {"float32": 1e-5, "bfloat16": 0.05}
# An engine that needs a compiler; a sparse product, whose gradient in bfloat16 torch 2.13 does not have.
MAY_BE_MISSING = ("compiled", "RT-ESD, bfloat16")
LAYER = LayerProblem(LayerSize(nside=2, channels_in=2, channels_out=3, voxels=3))
NETWORK = unet.UNetProblem(ModelConfig(3, nside=4, width=2, levels=2), voxels=2)


def ran(case):
    """Return the result of a case, skipped only where it may be."""
    (result,) = measured([case], QUICK)
    if result.skipped and any(name in case.name for name in MAY_BE_MISSING):
        pytest.skip(result.skipped)
    assert result.skipped is None
    return result


@pytest.mark.parametrize("backward", layer.PASSES.values(), ids=layer.PASSES)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_layer_answers_as_in_double_precision(system, backward):
    result = ran(LAYER.case(system, backward, MachineRates(1e9, 1e9, 1e9)))
    assert result.error < WORST[system.dtype]
    assert result.floor > 0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("system", unet.NETWORKS, ids=lambda system: system.name)
def test_every_network_answers_as_in_double_precision(system, training):
    result = ran(NETWORK.case(system, training))
    # bfloat16 in batch norms over 24 vertices and 8 voxels is coarse
    assert result.error < (0.3 if system.bfloat16 else 1e-5)
    assert result.amount == 8


def test_the_parts_of_a_step_add_up_to_it():
    work = step.step_case(crossing_phantom(shape=(4, 4, 4)), width=2, engine=TRUTH, threads=1).build()
    started = time.perf_counter()
    work.call()
    whole, parts = time.perf_counter() - started, work.parts()
    assert set(parts) == set(step.PARTS) and all(seconds > 0 for seconds in parts.values())
    assert sum(parts.values()) <= whole  # no time is counted twice


def test_inference_is_timed_for_every_voxel():
    raw, responses = inference.repeated_phantom(4)
    assert raw.data.shape[:3] == (4, 4, 4) and raw.mask.all()
    configs = inference.networks(responses, raw)
    own, published = configs.values()
    assert published.width == 32 and published.levels == 4
    assert ran(inference.estimate_case(normalise(raw), responses)).amount == 64
    assert ran(inference.tiled_case("small", own, TRUTH, False, normalise(raw), responses)).amount == 64


def test_patches_are_timed_for_each_voxel():
    assert ran(inference.patch_case(ModelConfig(3, nside=2, width=2, levels=2), patches=3)).amount == 3


@pytest.mark.mrtrix
@pytest.mark.skipif(not inference.mrtrix_installed(), reason="MRtrix3's dwi2fod is not installed")
def test_mrtrix_is_timed_with_its_own_memory():
    raw, responses = inference.repeated_phantom(3)
    assert ran(inference.mrtrix_case(raw, responses, 1)).memory > 2**20


def test_a_sweep_makes_a_table_and_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "_BRIEF", QUICK)
    monkeypatch.setattr(scaling, "_MEASURED", SYSTEMS[:1])
    sizes = ((2, LayerSize(2, 2, 2, 2), 1), (3, LayerSize(2, 2, 2, 3), 1))
    sweep = scaling.Sweep("voxels", "voxels", sizes)
    found = scaling.swept(sweep)
    lines = scaling.table(sweep, found).splitlines()
    assert lines[0] == "| voxels | 2 | 3 |"
    assert lines[2].startswith(f"| {SYSTEMS[0].name} |") and lines[3:] == []
    scaling.picture({sweep: found, scaling.sweeps(1, 1)[-1]: found}, tmp_path / "images" / "scaling.png")
    assert (tmp_path / "images" / "scaling.png").stat().st_size > 1000


def test_sweeps_change_one_size_each():
    for sweep in scaling.sweeps(1, 4):
        assert len({size for _, size, _ in sweep.points}) == (1 if sweep.name == "threads" else len(sweep.points))
    assert [n for n, _, _ in scaling.sweeps(1, 4)[-1].points] == [1, 2, 4]
    assert [n for n, _, _ in scaling.sweeps(1, 1)[-1].points] == [1]
