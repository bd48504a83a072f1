"""Sets of directions by the names that DIPY gives them."""

import numpy as np
from dipy.core.sphere import Sphere
from dipy.data import SPHERE_FILES, get_sphere
from jaxtyping import Float

from shd.errors import SettingsError

__all__ = ["named_directions", "named_sphere"]


def named_sphere(name: str) -> Sphere:
    """Return DIPY's sphere of this name, vertices and faces; raises SettingsError for a name it does not know."""
    if name not in SPHERE_FILES:
        raise SettingsError(f"sphere {name}: unknown; give one of {', '.join(sorted(SPHERE_FILES))}")
    return get_sphere(name=name)


def named_directions(name: str) -> Float[np.ndarray, "direction 3"]:
    """Return its vertices, unit vectors on the whole sphere."""
    return np.asarray(named_sphere(name).vertices, dtype=np.float64)
