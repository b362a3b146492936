"""Compiled only: capture, void, release, refund, reverse."""
