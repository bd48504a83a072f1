"""Parts of the benchmark of lesion segmentation: scans, cells, tables, figure."""
