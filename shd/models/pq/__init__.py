"""Layers and networks over p-q-space, equivariant under roto-translations of the image with the matching turns of q.

Müller, Golkov, Tomassini and Cremers (2021), arXiv 2102.06942; conventions and mathematics: docs/pq.md.

- `fields`           what a feature map holds: channels of spherical tensors
- `q_space`          q-space coordinates of a scan, in voxel axes
- `coupling`         which filter orders connect two feature orders, and their Clebsch–Gordan tensors; harmonics
- `radial`, `geometry`, `constants`  radial bases; where a kernel is sampled; fixed tensors
- `kernel`, `separable_kernel`, `difference_kernel`  learnt sums of basis filters
- `contraction`      two ways to apply a kernel, and their counts
- `convolution`, `transposed_convolution`  the layers
- `gate`, `normalisation`, `pooling`, `recomputation`  what stands between layers
- `check`            warns of ordinary nonlinearities on fields
- `config`, `segmenter`, `equivariant_segmenter`, `cnn_segmenter`  voxel-wise prediction
"""
