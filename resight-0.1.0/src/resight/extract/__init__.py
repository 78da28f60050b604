"""Stage ``extract``: from a crop to keypoints and descriptors, kept in Zarr."""
