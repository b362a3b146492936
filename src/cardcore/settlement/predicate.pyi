"""Compiled only: conditions, answered once for a decision."""
