"""Engines: several ways to compute the one convolution y = Σ_{k,r} T_k(L) S_r x W[k, r], with equal results.

- `engine`         what every engine can do: enter its own representation, mix channels and voxels there, leave it
- `reference`      on the vertices, by the Chebyshev recurrence: the readable definition, slow
- `eigenbasis`     in the Laplacian's eigenbasis with torch alone, on any device
- `compiled`       the same in C++ for CPUs: symmetry blocks, fused with what surrounds the convolution
- `neighbourhood`  sums over a voxel's neighbours, in torch
- `statistics`     the sums that a normalisation needs
- `choice`         which engine a network uses
"""

from shd.engines.choice import ENGINES, set_engine

__all__ = ["ENGINES", "set_engine"]
