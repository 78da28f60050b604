"""The segmenters, one file each: settings on top, implementation below or named in ``build``; heavy imports where they run."""
