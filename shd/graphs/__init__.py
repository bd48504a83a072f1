"""The two grids the convolutions live on: the HEALPix (half-)sphere and the voxel lattice.

- `hemisphere`  HEALPix vertices, antipodes, the grid's own symmetries
- `laplacian`   neighbour graph, Laplacian, its folding onto half a sphere, exact rescaling
- `symmetry`    the Laplacian's eigenbasis in blocks that the grid's symmetries keep apart
- `hierarchy`   all levels of one sphere or half-sphere in one immutable object
- `spatial`     distance classes of the isotropic voxel kernel
"""
