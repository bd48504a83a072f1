"""A dataset as QSIPrep leaves it, of small simulated scans: one participant with two sessions."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from shd.simulation import crossing_phantom
from tests.support.affines import AFFINES, write_table
from tests.support.cohorts import PROTOCOL, SHAPE

SCANS = ("sub-01", "sub-02_ses-a", "sub-02_ses-b", "sub-03_acq-96", "sub-04")
"""Names of the scans, without their space."""
GAINS = dict(zip(SCANS, (1.0, 1.0, 0.5, 2.0, 1.0), strict=True))
"""What the scanner multiplied each scan's signal by."""


def store_dataset(folder: Path, scans: tuple[str, ...] = SCANS) -> Path:
    """Write the dataset: images in LPS, MRtrix's table beside QSIPrep's own vectors, masks; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made_by = [{"Name": "QSIPrep", "Version": "1.0.0"}]
    description = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": made_by}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    for seed, name in enumerate(scans):
        labels = dict(part.split("-") for part in name.split("_"))
        place = folder / f"sub-{labels['sub']}" / (f"ses-{labels['ses']}" if "ses" in labels else "") / "dwi"
        place.mkdir(parents=True, exist_ok=True)
        image = place / f"{name}_space-ACPC_desc-preproc_dwi.nii.gz"
        scan = crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINES["LPS"], seed=seed).scan
        nib.save(nib.Nifti1Image(scan.data * np.float32(GAINS[name]), scan.affine), image)
        mask = nib.Nifti1Image(scan.mask.astype(np.uint8), scan.affine)
        nib.save(mask, place / f"{name}_space-ACPC_desc-brain_mask.nii.gz")
        for convention in ("qsiprep", "mrtrix"):
            write_table(convention, image, scan.gradients.bvalues, scan.gradients.directions, scan.affine)
    return folder
