"""Everything that reads or writes files, each whole or not at all.

- `scans`, `gradients`, `nifti`  a diffusion scan with its gradient table, in scanner axes
- `responses`                    response functions as MRtrix3 text
- `fodf`, `peaks`, `images`      results as NIfTI with a sidecar, or as .mif
- `mif`, `mif_header`            MRtrix3's own images
- `harmonics`, `samples`         fODFs in any basis and axes; sampled on one of DIPY's `spheres`
- `peak_layouts`                 peaks as MRtrix3, scilpy and TractSeg lay them out
- `fixel_folder`, `pam5`, `fib`  fixels for MRtrix3, peaks for DIPY and for DSI Studio
- `tractograms`, `trx`           streamlines in scanner mm
- `grids`, `tables`              whether images lie on one grid; tables as CSV
- `checkpoints`                  models and training states as safetensors; `model_files` where a network's file is
- `subjects`, `subject_lists`    the scans of a cohort, and what lists them
- `atomic`                       files that appear whole
"""
