"""Models and training states come back as they were, or say why not; nothing in the files can run code."""

import json
import pickle
import stat

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from shd import __version__
from shd.errors import CheckpointError
from shd.io.checkpoints import read_model, read_state, write_model, write_state
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.simulation.tissues import tissue_responses

BVALUES = np.array([0.0, 1000.0, 2990.5])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Deconvolver(ModelConfig(8, nside=2, levels=2, width=2, normalisation="batch")).eval()


@pytest.fixture
def stored(tmp_path, model):
    write_model(tmp_path / "model.safetensors", model, tissue_responses(BVALUES))
    return tmp_path / "model.safetensors"


def description(path):
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["shd"])


def rewrite(path, change):
    content = description(path)
    change(content)
    save_file(load_file(path), path, metadata={"shd": json.dumps(content)})


def test_a_model_comes_back_whole(stored, model):
    again, responses, trained = read_model(stored)
    assert trained is None
    assert again.config == model.config and not again.training
    for (name, value), (other, expected) in zip(again.state_dict().items(), model.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    for response, expected in zip(responses, tissue_responses(BVALUES), strict=True):
        assert response.tissue == expected.tissue
        np.testing.assert_array_equal(response.bvalues, expected.bvalues)
        np.testing.assert_array_equal(response.coefficients, expected.coefficients)


def test_it_answers_as_before(stored, model):
    features, mask = torch.rand(24, 1, 2, 2, 2, 8), torch.ones(1, 2, 2, 2, 1)
    with torch.no_grad():
        torch.testing.assert_close(read_model(stored)[0](features, mask).wm, model(features, mask).wm, rtol=0, atol=0)


def test_the_version_is_in_the_file(stored):
    assert description(stored)["version"] == __version__


def test_others_may_read_it(stored, tmp_path):
    """safetensors alone makes files that only their owner can read."""
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(stored.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_state_comes_back_bit_for_bit(tmp_path):
    tensors = {
        "weights": torch.rand(3, 2).T,  # not contiguous
        "half": torch.rand(4).bfloat16(),
        "step": torch.tensor(7.0),
        "shared": torch.ones(2),
    }
    tensors["again"] = tensors["shared"]
    generator = np.random.default_rng(1)
    numbers = {"best": float("inf"), "third": 1 / 3, "generator": generator.bit_generator.state, "rows": [{"a": 0.1}]}
    write_state(tmp_path / "state", tensors, numbers)
    read, plain = read_state(tmp_path / "state")
    assert set(read) == set(tensors)
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype and torch.equal(read[name], value)
    assert {name: plain[name] for name in numbers} == numbers


@pytest.mark.parametrize("reader", [read_model, read_state])
@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"weights": [1.0]})], ids=["empty", "text", "pickle"])
def test_a_file_of_another_kind(tmp_path, reader, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read .*; give .*\.safetensors of "):
        reader(tmp_path / "model.safetensors")


def test_a_file_cut_short(stored):
    stored.write_bytes(stored.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_model(stored)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=r"no such network|a folder without model"):
            read_model(path)


def test_weights_of_another_program(tmp_path):
    save_file({"weights": torch.ones(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(CheckpointError, match="holds no data of shd, not a model"):
        read_model(tmp_path / "theirs.safetensors")


def test_a_state_is_no_model_and_a_model_no_state(tmp_path, stored):
    write_state(tmp_path / "state", {"a": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="holds training state, not a model"):
        read_model(tmp_path / "state")
    with pytest.raises(CheckpointError, match="holds model, not a training state"):
        read_state(stored)


@pytest.mark.parametrize(
    "change",
    [lambda d: d["config"].update(width=3), lambda d: d["config"].update(nside=3), lambda d: d["config"].update(new=1),
     lambda d: d["config"].pop("input_channels"), lambda d: d.pop("config"), lambda d: d.pop("responses"),
     lambda d: d["responses"][0].pop("tissue")],
    ids=["other width", "no such nside", "unknown key", "missing key", "no configuration", "no responses", "no tissue"],
)  # fmt: skip
def test_a_model_that_does_not_fit_this_version(stored, change):
    rewrite(stored, lambda content: (change(content), content.update(version="9.9")))
    pattern = rf"written by shd 9\.9, does not fit shd {__version__} .*; fit again"
    with pytest.raises(CheckpointError, match=pattern) as told:
        read_model(stored)
    assert len(str(told.value).splitlines()) == 1


def test_a_failed_write_leaves_the_older_file(stored, model, monkeypatch):
    before = stored.read_bytes()

    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shd.io.checkpoints.save_file", fail)
    with pytest.raises(Exception, match=r"cannot be written \(No space left on device\)"):
        write_model(stored, model, ())
    assert stored.read_bytes() == before and [path.name for path in stored.parent.iterdir()] == [stored.name]
