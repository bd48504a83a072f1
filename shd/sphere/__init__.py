"""Mathematics on the sphere, without files.

- `harmonics`   real even spherical harmonics, their fits and zonal convolution
- `bases`       other bases in use, as exact changes from that one
- `rotations`   rotations and reflections of directions and of harmonic coefficients
- `directions`  unit vectors and sets of them, axial angles
"""
