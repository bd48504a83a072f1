"""The terms of the unsupervised loss (Elaldi et al. 2024, section 3.4), one file a term."""
