"""Acquisition protocols: how many directions at which b-values."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from dipy.core.sphere import HemiSphere, disperse_charges
from jaxtyping import Float

from shd.signal.gradients import Gradients, Shell
from shd.sphere.directions import half_sphere, normalised
from shd.sphere.rotations import random_rotation

__all__ = ["CLINICAL", "HARDI", "RESEARCH", "Protocol", "protocol_gradients"]


@dataclass(frozen=True)
class Protocol:
    """Shells as (b-value in s/mm², number of directions), ascending, with `b0_count` volumes at b=0 before them."""

    name: str
    b0_count: int
    shells: tuple[tuple[float, int], ...]


RESEARCH = Protocol("research", 6, ((1000.0, 30), (2000.0, 30), (3000.0, 60)))
HARDI = Protocol("hardi", 4, ((3000.0, 64),))
# The low-angular protocol of the published evaluation: one shell of 30 directions and three b0.
CLINICAL = Protocol("clinical", 3, ((1000.0, 30),))


@lru_cache(maxsize=256)
def _even_axes(count: int) -> Float[np.ndarray, "count 3"]:
    """Return `count` axes spread by electrostatic repulsion (Jones et al., Magn. Reson. Med. 42 (1999))."""
    sphere, _ = disperse_charges(HemiSphere(xyz=half_sphere(count)), iters=300)
    axes = normalised(sphere.vertices)
    axes.setflags(write=False)
    return axes


def protocol_gradients(protocol: Protocol) -> Gradients:
    """Return the gradient table of a protocol, the same at every call.

    Each shell's axes are even on the half-sphere, turned at random against the other shells so that no two shells
    measure the same axes, and of random sign so that both halves of the sphere are used.
    """
    generator = np.random.default_rng(20110)
    bvalues, directions = [np.zeros(protocol.b0_count)], [np.zeros((protocol.b0_count, 3))]
    shells, first = [Shell(0.0, np.arange(protocol.b0_count))], protocol.b0_count
    for bvalue, count in protocol.shells:
        signs = generator.choice([-1.0, 1.0], size=(count, 1))
        directions.append(signs * _even_axes(count) @ random_rotation(generator).T)
        bvalues.append(np.full(count, bvalue))
        shells.append(Shell(bvalue, np.arange(first, first + count)))
        first += count
    return Gradients(np.concatenate(bvalues), np.concatenate(directions), tuple(shells))
