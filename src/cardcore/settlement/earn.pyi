"""Compiled only: points on what was paid."""
