"""Security modules in software, with test keys only: the purchase SAM of a till and the load SAM of an issuer."""

from __future__ import annotations

from firmware_sim.sam.isam import LoadSam
from firmware_sim.sam.psam import PurchaseSam

__all__ = ["LoadSam", "PurchaseSam"]
