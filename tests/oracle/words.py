"""Words that random packs and random tickets share."""

from __future__ import annotations

CATEGORIES = ("cloth", "food", "toys", "massage", "gym", "course")
SKUS = ("latte", "mocha", "mug")
STORES = ("s01", "s02", "s03")
TAGS = ("vip", "gender:f", "dealer")
CAMPAIGNS = ("spring", "gifts")
"""Gifts of packs whose conditions ask whether any are left."""
