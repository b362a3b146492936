"""Smart cards and security modules in software: a second opinion on everything a terminal believes about a card.

Nothing here imports the system it is plugged into, and the ciphers come from pycryptodome (SM4 from `sm4.py`), so that agreement
between the two means something. Cards keep their state in byte-wise non-volatile memory whose power can be cut at any byte.

Every key that this package knows by itself is a **test key** and is named so (`firmware_sim.testkeys`).
"""

from __future__ import annotations

from firmware_sim.apdu import Command, Refused
from firmware_sim.card import Card
from firmware_sim.ntag import Tag
from firmware_sim.nvm import Memory, Power, PowerCut, Store

__all__ = ["Card", "Command", "Memory", "Power", "PowerCut", "Refused", "Store", "Tag"]
