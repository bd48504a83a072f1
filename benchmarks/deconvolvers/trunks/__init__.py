"""Networks that take the place of `shd.models.unet.UNet` inside `Deconvolver`, between the same inputs and heads.

- `voxel_mlp`             MLP: every voxel alone, no symmetry
- `cnn`                   3-D CNN: directions are channels like any others; moving the volume moves the answer
- `whole_sphere`          ESD (voxel-wise) and RT-ESD on all of the sphere, from our own parts
- `position_orientation`  a U-Net of PONITA's convolutions: turning volume and directions together turns the answer
- `lattice_unet`          what the last three lines' U-Nets that are not ours share

Each has the attributes and the call of `UNet`: `output_channels`, `engine`, `recompute`; features (vertex, batch, x, y,
z, channel) with a mask in, features of the finest level out, zero outside the mask.
"""
