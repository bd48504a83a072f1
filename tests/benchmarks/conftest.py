"""Measurements collect garbage first; what the imported libraries hold is none, and takes long to look through."""

import gc

import pytest


@pytest.fixture(scope="package", autouse=True)
def libraries_are_no_garbage():
    gc.freeze()
    yield
    gc.unfreeze()
