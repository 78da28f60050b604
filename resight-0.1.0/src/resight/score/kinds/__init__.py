"""The scores by what they look at; a module holds a tuple ``SCORES`` of them, in the order in which they are listed."""
