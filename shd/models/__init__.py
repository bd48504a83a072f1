"""Networks that are equivariant on the sphere and in space.

- `functional`        the convolutions as pure functions, computed by an engine of `shd.engines`
- `chebyshev`, `spatio_spherical`  the two convolutions as modules
- `normalisation`, `blocks`, `unet`, `heads`, `deconvolver`  what the networks are made of
- `config`            the network's shape; ESD, RT-ESD and SHD are three configurations
"""
