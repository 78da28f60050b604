"""Telling people what happened: the events, and the ways to reach somebody."""
