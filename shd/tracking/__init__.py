"""Streamlines along fODFs: seeds, three ways of following, and the tractogram that they make.

Points are in voxel units and directions in voxel axes inside this folder; what comes out is in scanner mm.
"""
