"""Compiled only: what a sale or an event gives besides points."""
