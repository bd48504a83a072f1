"""The scan, and what a network is given of it.

- `scan`, `brain_mask`, `coherence`  the validated scan, its mask, the check of its gradient directions
- `encoding_guess`                   in which basis and axes fODFs of unknown origin are told
- `normalisation`                    voxels as rows of S/S₀
- `first_estimate`                   each voxel's tissues, alone
- `neighbourhood`, `noise_level`     what the voxels beside a voxel hold; σ of the noise
- `coherent_estimate`                all voxels at once, by those two, in rounds (`estimate_rounds`)
- `features`, `tiles`                features on the sphere's vertices; boxes of voxels
"""
