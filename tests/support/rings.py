"""Two rings of fibres, which show whether gradient directions fit the image."""

import numpy as np

from shd.scans.scan import Scan
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere


def ring_scan(affine: np.ndarray, wrong: np.ndarray, generator: np.random.Generator, fibres: bool = True) -> Scan:
    """Two rings of fibres, differently tilted, in isotropic tissue.

    The table given is `wrong` @ the true one, along the image axes.
    """
    shape = (20, 20, 38)
    tangent, mask = np.zeros((*shape, 3)), np.zeros(shape, dtype=bool)
    for height, axis in ((9.5, (1.0, 2.0, 3.0)), (27.5, (2.5, 1.0, -0.5))):
        normal = np.array(axis) / np.linalg.norm(axis)
        place = np.stack(np.indices(shape), axis=-1) - np.array([9.5, 9.5, height])
        radial = place - (place @ normal)[..., None] * normal
        radius = np.linalg.norm(radial, axis=-1)
        ring = (np.abs(radius - 7.0) < 1.8) & (np.abs(place @ normal) < 1.8)
        tangent[ring] = np.cross(normal, radial[ring] / radius[ring][:, None])
        mask |= ring
    directions = np.concatenate([np.zeros((3, 3)), half_sphere(32)])
    bvalues = np.where(np.arange(35) < 3, 0.0, 1000.0)
    along = np.where(mask[..., None] & fibres, (tangent @ directions.T) ** 2, 0.33)
    clean = 100.0 * np.exp(-bvalues * (0.3e-3 + 1.4e-3 * along))
    data = (clean + 5.0 * generator.standard_normal(clean.shape)).astype(np.float32)
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return Scan(data, affine, gradient_table(bvalues, directions @ wrong.T @ rotation.T), mask)
