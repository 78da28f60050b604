"""What people decide: who an encounter is, what does not belong, which name is another one's. A log that is only ever added to."""
