"""Another package with one kind for each registry."""
