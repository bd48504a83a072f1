"""Scores against truth, and the rivals scored beside us.

- `peak_matching`              which peak is which fibre
- `peak_scores`                angular error, success rate, precision, recall, F1
- `threshold_sweep`            the scores against the peak threshold
- `phantom_scores`             the same, from a phantom's fODFs
- `trial`                      several methods on one phantom
- `constrained_deconvolution`  CSD by DIPY
"""
