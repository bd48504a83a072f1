"""Examples on disk are the examples."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import CheckpointError
from shd.io.examples import KeptExamples, read_example, write_example
from shd.scans.coherent_estimate import Coherence, relative_noise
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.examples import Example, ExampleTarget, ExampleTruth


@pytest.fixture(scope="module")
def example():
    phantom = crossing_phantom(60.0, shape=(4, 3, 3), protocol=Protocol("two", 3, ((1000.0, 8), (3000.0, 8))))
    scan = normalise(phantom.scan)
    truth = ExampleTruth(np.ones((36, 91), np.float32), np.ones((36, 3), np.float32))
    return Example(scan, phantom.responses, relative_noise(scan), truth)


def equal(one, other):
    for name in ("signal", "b0", "rows", "affine"):
        np.testing.assert_array_equal(getattr(one.scan, name), getattr(other.scan, name))
    table, same = one.scan.gradients, other.scan.gradients
    np.testing.assert_array_equal(table.directions, same.directions)
    assert [shell.bvalue for shell in table.shells] == [shell.bvalue for shell in same.shells]
    np.testing.assert_array_equal(one.noise, other.noise)
    for response, again in zip(one.responses, other.responses, strict=True):
        assert response.tissue == again.tissue
        np.testing.assert_array_equal(response.coefficients, again.coefficients)


def test_what_is_written_is_read(tmp_path, example):
    estimates = np.arange(36 * 6, dtype=np.float16).reshape(36, 2, 3)
    whole = replace(example, estimates=estimates, target=ExampleTarget(example.scan, example.responses, example.noise))
    write_example(tmp_path / "a.safetensors", whole)
    again = read_example(tmp_path / "a.safetensors")
    equal(whole, again)
    equal(whole.target, again.target)
    np.testing.assert_array_equal(again.truth.fods, whole.truth.fods)
    np.testing.assert_array_equal(again.estimates, estimates)


def test_what_is_not_there_is_not_read(tmp_path, example):
    write_example(tmp_path / "a.safetensors", replace(example, truth=None))
    again = read_example(tmp_path / "a.safetensors")
    assert again.truth is None and again.target is None and again.estimates is None


class Counted:
    def __init__(self, example):
        self.example, self.made = example, []

    def __getitem__(self, number):
        self.made.append(number)
        return self.example


def test_kept_examples_are_made_once(tmp_path, example):
    counted = Counted(example)
    kept = KeptExamples(counted, tmp_path / "kept", coherence=Coherence(rounds=1))
    first, again = kept[2], KeptExamples(counted, tmp_path / "kept")[2]
    assert counted.made == [2] and first.estimates.shape == (36, 2, 386)
    equal(first, again)
    np.testing.assert_array_equal(first.estimates, again.estimates)


@pytest.mark.parametrize("content", [b"", b"no example", b"\x80\x04\x95"])
def test_a_damaged_example_says_what_to_do(tmp_path, content):
    (tmp_path / "000000.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="delete it, and it is made again"):
        KeptExamples(Counted(None), tmp_path)[0]
