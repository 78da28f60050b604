"""Thin tasks: each reads what the stage before wrote, calls one function of `resight`, writes its table."""
