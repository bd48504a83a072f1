"""Response functions from the scan itself, without atlas or supervision.

- `estimate`       one entry: white matter for one shell, three tissues for several; checks what comes out
- `single_shell`   single-fibre voxels by deconvolution with an ever better response
- `multi_tissue`   white matter, grey matter and CSF by anisotropy and signal decay
- `tensor`         anisotropy and principal direction of each voxel
- `bimodal`        the threshold that splits values into two groups best
- `deconvolution`  harmonics that are not negative, many voxels at once
- `fibre_peaks`    largest and second peak of an fODF
- `zonal_fit`      the response of chosen voxels, positive and monotonic
"""

from shd.signal.response_estimation.estimate import estimate_responses
from shd.signal.response_estimation.single_shell import b0_coefficient

__all__ = ["b0_coefficient", "estimate_responses"]
