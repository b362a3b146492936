"""Compiled only: the bytes of accounts and settlements."""
