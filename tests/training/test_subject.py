"""Training on one subject: repeatable, resumable after any step, and never worse than where it began."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from shd.errors import CheckpointError
from shd.io.checkpoints import read_state, write_state
from shd.models.deconvolver import TissueFractions
from shd.scans.coherent_estimate import Coherence
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.losses.objective import LossWeights
from shd.training.settings import FitSettings
from shd.training.subject import SubjectTraining

PROTOCOL = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
SHAPE = (8, 6, 4)
SETTINGS = FitSettings(steps=10, width=2, tile=4, threads=1, device="cpu")


@lru_cache(maxsize=2)
def phantom(seed=0):
    torch.set_num_threads(1)
    return crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, seed=seed)


def training(settings=SETTINGS, seed=0, mask=None, responses=None, brightness=None):
    scan = phantom(seed).scan if mask is None else replace(phantom(seed).scan, mask=mask)
    normalised = normalise(scan)
    if brightness is not None:
        normalised = replace(normalised, b0=normalised.b0 * brightness)
    return SubjectTraining(normalised, responses or phantom().responses, settings)


def weights(run):
    return {name: value.clone() for name, value in run.optimisation.model.state_dict().items()}


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_same_seed_gives_the_same_losses_and_weights():
    first, second = training(), training()
    assert [first.step() for _ in range(3)] == [second.step() for _ in range(3)]
    assert same(weights(first), weights(second))


def test_another_seed_gives_others():
    assert training().step() != training(replace(SETTINGS, seed=1)).step()


def test_a_state_goes_on_as_if_nothing_had_happened(tmp_path):
    """Through a file, so through another process; after a validation and before one."""
    run = training()
    for _ in range(3):
        run.step()
    run.validate()
    run.step()
    write_state(tmp_path / "state", *run.state())
    other = training()
    other.load_state(*read_state(tmp_path / "state"))
    assert (other.steps_done, other.best_loss, other.progress) == (4, run.best_loss, 0.4)
    assert [run.step() for _ in range(3)] == [other.step() for _ in range(3)]
    assert run.validate() == other.validate()
    assert same(weights(run), weights(other))
    assert same(run.best_model().state_dict(), other.best_model().state_dict())


def test_a_state_before_the_first_step(tmp_path):
    run, other = training(), training()
    write_state(tmp_path / "state", *run.state())
    other.load_state(*read_state(tmp_path / "state"))
    assert run.step() == other.step()


def test_a_signal_on_disk_trains_as_one_in_memory(tmp_path):
    """Read-only and memory-mapped, as that of a whole brain may be; another process may have mapped it, or not."""
    scan = normalise(phantom().scan)
    np.save(tmp_path / "signal.npy", scan.signal)
    stored = replace(scan, signal=np.load(tmp_path / "signal.npy", mmap_mode="r"))
    first, second = (SubjectTraining(s, phantom().responses, SETTINGS) for s in (scan, stored))
    assert first.fingerprint == second.fingerprint
    assert [first.step() for _ in range(2)] == [second.step() for _ in range(2)]
    assert first.validate() == second.validate()


def test_the_average_follows_the_weights():
    """The average is (1 + n)/(10 + n) of itself after n steps, and the rest is the new weights."""
    run = training()
    for done in range(3):
        before = {name: value.clone() for name, value in run.optimisation.average.state_dict().items()}
        run.step()
        kept = (1 + done) / (10 + done)
        now = run.optimisation.model.state_dict()
        for name, value in run.optimisation.average.state_dict().items():
            torch.testing.assert_close(value, kept * before[name] + (1 - kept) * now[name])


def test_the_average_still_follows_after_a_state_was_loaded():
    run, other = training(), training()
    run.step()
    other.load_state(*run.state())
    before = {name: value.clone() for name, value in other.optimisation.average.state_dict().items()}
    other.step()
    assert any(not torch.equal(value, before[name]) for name, value in other.optimisation.average.state_dict().items())


def other_responses():
    wm, *others = phantom().responses
    return (replace(wm, coefficients=1.01 * wm.coefficients), *others)


OTHERS = {
    "seed": lambda: training(replace(SETTINGS, seed=1)),
    "budget": lambda: training(replace(SETTINGS, steps=11)),
    "loss": lambda: training(replace(SETTINGS, weights=LossWeights(support=8.0))),
    "estimate": lambda: training(replace(SETTINGS, coherence=Coherence(rounds=3))),
    "data": lambda: training(seed=1),
    "brightness, which decides the noise": lambda: training(brightness=np.linspace(0.5, 2, 192, dtype=np.float32)),
    "mask": lambda: training(mask=np.arange(192).reshape(SHAPE) > 10),
    "responses": lambda: training(responses=other_responses()),
}


@pytest.mark.parametrize("changed", OTHERS)
def test_a_state_of_another_fit_is_refused_and_changes_nothing(changed):
    other = OTHERS[changed]()
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"had other data or settings than this one .*--force to start anew"):
        other.load_state(*training().state())
    assert same(weights(other), before) and other.steps_done == 0


def test_the_best_weights_are_kept_though_training_goes_astray():
    run = training(replace(SETTINGS, learning_rate=0.01))
    run.step()
    good = run.validate()
    kept = {name: value.clone() for name, value in run.best_model().state_dict().items()}
    with torch.no_grad():
        for parameter in run.optimisation.average.parameters():
            parameter.add_(3.0)
    assert run.validate() > good
    assert run.best_loss == good and same(run.best_model().state_dict(), kept)


def test_the_untrained_network_is_the_one_to_beat():
    run = training()
    start = run.validate()
    for _ in range(6):
        run.step()
        run.validate()
    assert run.best_loss <= start


def test_training_lowers_the_loss():
    """From voxels' own estimates: the coherent one is so near the least loss that little is left to learn."""
    run = training(replace(SETTINGS, steps=40, learning_rate=2e-3, coherence=Coherence(rounds=0)))
    start = run.validate()
    for _ in range(40):
        run.step()
    assert run.validate() < 0.99 * start


def test_progress_follows_the_budget():
    run = training()
    assert run.progress == 0.0
    run.step()
    assert run.progress == 0.1
    timed = training(replace(SETTINGS, steps=None, minutes=0.5))
    timed.step()
    assert timed.progress == pytest.approx(timed.seconds / 30) and timed.seconds > 0


def test_held_out_voxels_are_scored_when_validating_and_only_then():
    run = training(replace(SETTINGS, tile=8))  # one tile is the whole scan
    terms, scored = run.views[0].objective.terms, []

    def record(fractions, signal, mask, chosen, noise):
        scored.append(chosen.numpy())
        return terms(fractions, signal, mask, chosen, noise)

    run.views[0].objective.terms = record
    run.step()
    run.validate()
    training_rows, validation_rows = scored
    assert 0 < run.held_out.sum() < 0.2 * len(run.held_out)
    np.testing.assert_array_equal(training_rows, ~run.held_out)
    np.testing.assert_array_equal(validation_rows, np.tile(run.held_out, 4))


@pytest.mark.parametrize("voxels", [[(0, 0, 0)], [(7, 5, 3)], [(3, 2, 1), (7, 5, 3)]])
@pytest.mark.parametrize("seed", [0, 1])
def test_masks_of_a_few_voxels_train(voxels, seed):
    """None of them, or all, may be held out; a mean over no voxel must not spoil the weights."""
    mask = np.zeros(SHAPE, bool)
    mask[tuple(np.array(voxels).T)] = True
    run = training(replace(SETTINGS, seed=seed, held_out=0.5), mask=mask)
    losses = [run.step()["loss"] for _ in range(3)] + [run.validate()]
    assert np.isfinite(losses).all()
    assert all(torch.isfinite(value).all() for value in weights(run).values())


def test_progress_of_the_first_estimate_is_told():
    counts = []
    SubjectTraining(normalise(phantom().scan), phantom().responses, SETTINGS, on_estimate=counts.append)
    assert sum(counts) == pytest.approx(np.prod(SHAPE)) and len(counts) > 5


def whole_scan_terms(run, estimates, tissues=3):
    """The loss terms of estimates as the answer, over every voxel of the scan."""
    wm, others = (torch.from_numpy(part).float() for part in np.split(estimates, [estimates.shape[1] - tissues + 1], 1))
    fractions = TissueFractions(wm.T.reshape(-1, 1, *SHAPE), others.reshape(1, *SHAPE, tissues - 1))
    signal, noise = torch.from_numpy(run.scan.signal), torch.from_numpy(run.noise)
    mask, scored = torch.ones(1, *SHAPE), torch.ones(len(signal), dtype=bool)
    return run.views[0].objective.terms(fractions, signal, mask, scored, noise)


@pytest.mark.parametrize("tissues", [3, 1])
def test_the_coherent_estimate_is_where_the_loss_is_low(tissues):
    """Training begins near the minimum of what it minimises: the voxel's own estimate, and any scaled one, is worse."""
    run = training(responses=phantom().responses[:tissues])
    alone, coherent = run.estimates[:, 0].astype(np.float32), run.estimates[:, 1].astype(np.float32)
    least = float(whole_scan_terms(run, coherent, tissues)["loss"])
    others = {"alone": alone, "less": 0.9 * coherent, "more": 1.1 * coherent, "mixed": 0.5 * (alone + coherent)}
    losses = {name: float(whole_scan_terms(run, other, tissues)["loss"]) for name, other in others.items()}
    assert min(losses.values()) > least, (least, losses)


def test_an_untrained_network_starts_with_the_loss_of_the_coherent_estimate():
    run = training(replace(SETTINGS, tile=8))  # one tile is the whole scan
    expected = whole_scan_terms(run, run.estimates[:, 1])
    rows = np.arange(192).reshape(1, *SHAPE)
    run.held_out[:] = False
    found = run._terms(run.optimisation.model, run.views[0], rows, held_out=False)
    assert set(found) == {"loss", "data", "support", "likeness"}
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5)


def test_the_noise_that_the_loss_is_told_is_that_of_the_scan():
    """In units of the voxel's b=0 signal: by it, what was measured lies one deviation from the truth."""
    truth = crossing_phantom(60.0, shape=SHAPE, protocol=Protocol("repeated", 8, PROTOCOL.shells), seed=0)
    run = SubjectTraining(normalise(truth.scan), truth.responses, SETTINGS)
    clean = truth.noise_free.reshape(192, -1) / run.scan.b0[:, None]
    residual = (run.scan.signal - clean)[run.scan.b0 > 0] / run.noise[:, None]
    assert np.median(residual**2) / 0.4549 == pytest.approx(1, abs=0.15)  # the median of χ² of one degree


def test_one_tissue():
    run = training(responses=phantom().responses[:1])
    assert np.isfinite(run.step()["loss"]) and run.config.tissues == ("wm",)
