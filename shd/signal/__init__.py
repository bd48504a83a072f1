"""The diffusion signal: how it was measured, and how fibres make it.

- `gradients`            b-values, directions (scanner axes), shells
- `response`             the signal of one tissue, as zonal harmonics per shell
- `response_estimation`  responses from the scan itself
- `response_average`     the response of a group of scans
- `forward_model`        fODF → signal
- `compartments`         analytic stick, zeppelin and ball
- `noise`                Rician noise
"""
