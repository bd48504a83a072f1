"""Shared test settings: annotated shapes in shd are checked while the tests run, and properties on the same examples.

With SHD_RANDOM_EXAMPLES set, Hypothesis looks for new ones.
"""

import os

from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("shd", "beartype.beartype")

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None)
settings.load_profile("random" if os.environ.get("SHD_RANDOM_EXAMPLES") else "same")
