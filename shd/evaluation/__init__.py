"""Scores with truth and without, and the rivals scored beside us.

With truth:

- `truth`                      what is true of a simulated scan
- `peak_matching`              which peak is which fibre
- `peak_scores`                angular error, success rate, precision, recall, F1
- `threshold_sweep`            the scores against the peak threshold
- `phantom_scores`             the same, from fODFs
- `fod_distance`               whole fODFs: angular correlation, Jensen-Shannon divergence
- `tissue_scores`              amounts of the tissues
- `tractogram_scores`          connections, overlap and overreach; `visited_voxels` under it
- `error_map`                  where a method errs
- `assessment`                 all scores of one result, and the ceiling's
- `trial`                      several methods on one phantom

Without truth:

- `cross_validation`           prediction of held-out directions; `signal_prediction`, `even_subsets` under it
- `split_half`                 agreement of the peaks of two halves

- `tables`                     scores as rows and records
- `constrained_deconvolution`  CSD by DIPY
"""
