"""The makes of chip a shop works with: how each is spoken to and where its money lies. A medium's row names one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cardapi.store.port import MediumRow
from cardcore.card.desfire import Mode
from cardcore.card.desfire_value import ValueFile
from cardcore.card.purse import Application, Make
from cardcore.crypto import pboc
from cardcore.errors import CardcoreError

APPLICATION_ID: Final = bytes.fromhex("F05201")
"""The DESFire application of the purse, as sent."""
MASTER, CREDIT, DEBIT, READ = range(4)
"""Key numbers of the DESFire application."""
KEY_PURPOSES: Final = ("desfire-master", "desfire-credit", "desfire-debit", "desfire-read")
VALUE_FILE, LOG_FILE, NUMBER_FILE, MAC_FILE = 1, 2, 3, 15
NUMBER_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class PurseProfile:
    """A PBOC purse card."""

    name: str
    make: Make

    @property
    def algorithm(self) -> str:
        """Of its keys, as the key store names it."""
        return self.make.profile.cipher


@dataclass(frozen=True, slots=True)
class DesfireProfile:
    """A DESFire compatible card with a value file. `ev2`: the channel, and whether there is a transaction MAC."""

    name: str
    ev2: bool
    mode: Mode

    @property
    def algorithm(self) -> str:
        """Of its keys."""
        return "aes"

    @property
    def place(self) -> ValueFile:
        """Where the money is."""
        return ValueFile(VALUE_FILE, self.mode, MAC_FILE)


Profile = PurseProfile | DesfireProfile
PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        PurseProfile("pboc2-3des", Make()),
        PurseProfile("fm1208", Make(levels=("issuer", "serial"))),
        PurseProfile("transit-sm4", Make(profile=pboc.TRANSIT_SM4)),
        DesfireProfile("desfire-ev2", ev2=True, mode=Mode.FULL),
        DesfireProfile("desfire-ev2-mac", ev2=True, mode=Mode.MAC),
        DesfireProfile("desfire-ev1", ev2=False, mode=Mode.FULL),
        DesfireProfile("desfire-ev1-mac", ev2=False, mode=Mode.MAC),
    )
}


class UnknownProfile(CardcoreError):
    """A medium was registered with a profile that says nothing about such a chip."""

    code = "unknown_profile"


def purse_profile(row: MediumRow) -> PurseProfile:
    """The profile of a registered purse. Raises UnknownProfile for a row that names none."""
    found = PROFILES.get(row.profile)
    if not isinstance(found, PurseProfile):
        raise _unknown(row.medium, row.profile)
    return found


def desfire_profile(row: MediumRow) -> DesfireProfile:
    """The profile of a registered DESFire card. Raises UnknownProfile for a row that names none."""
    found = PROFILES.get(row.profile)
    if not isinstance(found, DesfireProfile):
        raise _unknown(row.medium, row.profile)
    return found


def need_profile(medium: str, profile: str) -> None:
    """Whether a medium can be of this make: a chip names one of its kind, what only identifies names none (K8). Raises UnknownProfile."""
    kinds: dict[str, type[Profile]] = {"pboc": PurseProfile, "desfire": DesfireProfile}
    kind = kinds.get(medium.partition(":")[0])
    if (kind is None and profile) or (kind is not None and not isinstance(PROFILES.get(profile), kind)):
        raise _unknown(medium, profile)


def _unknown(medium: str, profile: str) -> UnknownProfile:
    return UnknownProfile(f"no medium such as {medium} has the profile {profile!r}", profile=profile)


def purse_medium(application: Application) -> str:
    """The medium id of a purse: issuer identifier and application serial number."""
    return f"pboc:{application.issuer.hex()}{application.serial.hex()}"


def desfire_medium(uid: bytes) -> str:
    """The medium id of a DESFire card."""
    return f"desfire:{uid.hex()}"
