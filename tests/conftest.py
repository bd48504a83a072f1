"""Shared test settings: every annotated shape in shd is checked while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("shd", "beartype.beartype")
