"""Stage ``ingest``: finds photos, looks at what is new, and joins what people say about them."""
