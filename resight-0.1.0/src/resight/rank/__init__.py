"""Stage ``rank``: from scored pairs to candidates for every query photo and every query encounter."""
