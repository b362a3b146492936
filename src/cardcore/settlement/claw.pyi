"""Compiled only: what a return takes back."""
