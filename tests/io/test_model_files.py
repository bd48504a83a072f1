"""A network by its name, its file or the folder that holds it."""

import pytest

from shd.errors import CheckpointError
from shd.io.checkpoints import read_model
from shd.io.model_files import PACKAGED, model_file


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_networks_are_there(name):
    assert model_file(name).is_file()


def test_a_folder_stands_for_the_network_in_it(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(model_file("small").read_bytes())
    assert model_file(tmp_path) == tmp_path / "model.safetensors"
    assert read_model(tmp_path).network.config == read_model("small").network.config


def test_what_is_not_there_says_what_could_be_given(tmp_path):
    with pytest.raises(CheckpointError, match=r"larg: no such network; give base or small, a model"):
        model_file("larg")
    with pytest.raises(CheckpointError, match=r"base: no such network; give a model\.safetensors"):
        model_file("base", ())
    with pytest.raises(CheckpointError, match=r"a folder without model\.safetensors; give that of a fit or a training"):
        model_file(tmp_path)
