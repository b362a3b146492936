"""Compiled only: coupons used and given, gifts for points."""
