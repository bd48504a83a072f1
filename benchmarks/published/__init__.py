"""The systems shd is timed against, written from their papers' definitions: what they compute, the way they compute it.

- `shd_published`  spatio-hemispherical layer: dense polynomials of the Laplacian, then conv3d
- `rt_esd`         the same on the whole sphere: sparse recurrence, then conv3d
- `unet`           U-Net of either layer, equal to `shd.models.unet.UNet` when it has the same weights
- `ponita`         separable convolution over positions and orientations
- `patches`        inference with a patch a voxel

Tensors of the first three are (batch, vertex, channel, x, y, z); `to_published` and `from_published` convert.
"""
