"""Every method of the accuracy tables, as one kind of function: a scan and its responses in, a `FodField` out.

- `mrtrix`               MRtrix3's `csd` and `msmt_csd`
- `multi_tissue`         DIPY's MSMT-CSD
- `richardson_lucy`      DIPY's RUMBA-SD and RUMBA-TV
- `pretrained`           `shd infer` with a network trained before, and the estimate that it begins with
- `free_diffusion`       grey matter and CSF for scans that do not show them
- `trunks`               the networks of others in place of our U-Net: MLP, CNN, ESD, RT-ESD, PONITA
- `training`             their training, on our data, losses and budget
- `methods`              the list, by the names that tables and command lines use
"""
