"""Compiled only: entitlements, points and stored value."""
