"""From a trained network and a scan to fODFs: `tiled` goes over the volume in boxes that `memory` sizes."""
