"""`resight review`: the evening's answers, one screen for each encounter, in a browser on this machine."""
