"""The scan, and what a network is given of it.

- `scan`, `brain_mask`, `coherence`  the validated scan, its mask, the check of its gradient directions
- `normalisation`                    voxels as rows of S/S₀
- `neighbourhood`, `first_estimate`  the mean with the neighbours; the first estimate of the tissues
- `features`, `tiles`                features on the sphere's vertices; boxes of voxels
"""
