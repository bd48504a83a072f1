"""Everything that reads or writes files, each whole or not at all.

- `scans`, `gradients`, `nifti`  a diffusion scan with its gradient table, in scanner axes
- `responses`                    response functions as MRtrix3 text
- `fodf`, `peaks`, `images`      results as NIfTI with a sidecar
- `tractograms`, `trx`           streamlines in scanner mm
- `grids`, `tables`              whether images lie on one grid; tables as CSV
- `checkpoints`                  models and training states as safetensors
- `atomic`                       files that appear whole
"""
