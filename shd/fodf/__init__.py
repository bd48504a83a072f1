"""fODFs: fields of them, their peaks, and the axes they are told in.

- `field`           every tissue's fODFs on one voxel grid
- `peaks`           local maxima, and `peak_kernel`, their compiled inner loop
- `peak_reference`  the same by the definition, slow: the oracle
- `scalar_maps`     density, anisotropy, colours, tissue fractions
- `intensity`       one unit for the amplitudes of every voxel and scan
- `lobes`           fixels: integral, height and spread of each lobe; `lobe_kernel` and `lobe_reference` likewise
- `encoding`        basis and axes together, and the way from one telling to another
- `frames`          scanner axes (MRtrix3, shd) to and from voxel axes (DIPY, scilpy)
"""
