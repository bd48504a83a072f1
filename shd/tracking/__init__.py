"""Streamlines along fODFs. Inside, points are in voxel units and directions in voxel axes; results are in scanner mm.

- `settings`       the choices, and which cannot be
- `field`          the fODFs that are tracked: those of the mask, in voxel axes
- `seeds`          where streamlines begin, and along which fibre
- `tissues`        white matter, and where streamlines may end
- `deterministic`  along exact peaks; `deterministic_kernel` is its compiled loop
- `probabilistic`, `particle`  DIPY's trackers, and what they are given
- `tractogram`     batches of seeds until there are enough streamlines
"""
