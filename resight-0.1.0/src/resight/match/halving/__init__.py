"""Weaker candidates are dropped on the way through the matcher's layers."""
