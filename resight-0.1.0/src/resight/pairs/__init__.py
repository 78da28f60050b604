"""Which photos are queries and which are gallery, and which pairs of them are compared."""
