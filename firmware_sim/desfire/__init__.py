"""MIFARE DESFire compatible card in software: the subset that stored value needs."""

from __future__ import annotations

from firmware_sim.desfire.card import DesfireCard
from firmware_sim.desfire.layout import KeyType, Mode

__all__ = ["DesfireCard", "KeyType", "Mode"]
