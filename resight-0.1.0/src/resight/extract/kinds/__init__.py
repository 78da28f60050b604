"""The extractors, one file each: settings on top, implementation below; torch and OpenCV are imported where they run."""
