"""Compiled only: what an account has done in a period."""
