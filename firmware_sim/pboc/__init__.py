"""The PBOC electronic purse (电子钱包 EP, 电子存折 ED) as a card in software."""

from __future__ import annotations

from firmware_sim.pboc.card import PurseCard
from firmware_sim.pboc.personal import Identity, personalise
from firmware_sim.pboc.profile import PROFILES, Profile
from firmware_sim.pboc.suite import Suite

__all__ = ["PROFILES", "Identity", "Profile", "PurseCard", "Suite", "personalise"]
