"""The page that shows what a run found and what proves it: one file, no scripts, nothing loaded from elsewhere."""
