"""Compiled only: the order of a sale."""
