"""Spatio-hemispherical deconvolution of diffusion MRI."""

from shd._version import __version__

__all__ = ["__version__"]
