"""The terms of the unsupervised loss (Elaldi et al. 2024, section 3.4), each a function of what one forward pass made."""
