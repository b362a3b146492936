"""From the octets of an upload to judged records: looks up terminals, media and keys, and has the key store verify in bulk.

Runs beside the desk, on a reader of the store, with the interpreter lock released while MACs are computed. It decides nothing that
depends on another record, so it may be done again, or for many uploads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cardapi.keys.port import KeyInfo, KeyStore
from cardapi.media.profiles import APPLICATION_ID, PROFILES, Profile, PurseProfile
from cardapi.people.registry import Registry
from cardapi.store.media import KeyPeriod, unpack_keys
from cardapi.store.port import MediumRow
from cardcore.card.purse import Make
from cardcore.clearing import judge
from cardcore.clearing.judge import Columns, Integers
from cardcore.clearing.parse import Fragment
from cardcore.clearing.upload import ClearingRules, Upload, distinct, numbered, proven_keys

TAC, TMAC = "pboc-tac", "desfire-tmac"
FOREVER = 1 << 62


class MediaReader(Protocol):
    """The part of the store port that is read here."""

    def read_media(self, media: Sequence[str]) -> dict[str, MediumRow]: ...


class Prepare:
    """What is needed to judge records. system: what diversifies DESFire keys besides the UID and the application."""

    def __init__(self, registry: Registry, keys: KeyStore, system: bytes, rules: ClearingRules) -> None:
        self._registry = registry
        self._keys = keys
        self._suffix = np.frombuffer(APPLICATION_ID + system, np.uint8)
        self._rules = rules

    def upload(self, store: MediaReader, fragment: Fragment) -> Upload:
        """Judge every record of a fragment by itself."""
        columns, digests = distinct(fragment)
        times, payee, tills = self._terminals(columns)
        names, which = judge.media(columns)
        found = store.read_media(names)
        rows = [found.get(name) for name in names]
        profiles = [_profile(row) for row in rows] or [None]
        by_issuer = np.array([isinstance(each, PurseProfile) and "issuer" in each.make.levels for each in profiles])[which]
        known, right = self._verify(columns, times, rows, profiles, which)
        accounts = np.array([0 if row is None else row.account_id for row in rows] or [0], np.int64)[which]
        cards = ["" if row is None else row.card for row in rows]
        outcome = judge.judge(columns, payee, accounts, known, right)
        places = which.tolist()
        return Upload(
            header=fragment.header,
            seal=fragment.seal,
            received=len(fragment.records),
            blocks=columns.blocks,
            digests=digests,
            keys=proven_keys(columns, by_issuer),
            outcomes=outcome.tolist(),
            accounts=accounts.tolist(),
            cards=[cards[place] for place in places],
            media=[names[place] if cards[place] else "" for place in places],
            times=times.tolist(),
            payees=numbered(payee),
            tills=tills,
            rules=self._rules,
        )

    def _terminals(self, columns: Columns) -> tuple[Integers, Integers, list[tuple[str, str]]]:
        """Epoch second and payee of each record, by the registry as of the transaction (C4)."""
        numbers, which = judge.terminals(columns)
        tills: dict[tuple[str, str], int] = {}
        times = np.full(len(which), -1, np.int64)
        payee = np.full(len(which), -1, np.int64)
        for place, number in enumerate(numbers):
            module = self._registry.sam(number.hex())
            of = np.flatnonzero(which == place)
            if module is None:
                times[of] = columns.local[of]
                continue
            times[of] = np.where(columns.local[of] < 0, -1, columns.local[of] - module.offset_s)
            for period, end in zip(module.periods, [*(later.valid_from for later in module.periods[1:]), FOREVER], strict=True):
                if period.terminal:
                    till = tills.setdefault((period.unit, period.terminal), len(tills))
                    payee[of[(times[of] >= period.valid_from) & (times[of] < end)]] = till
        return times, payee, list(tills)

    # ------------------------------------------------------------ keys
    def _verify(
        self, columns: Columns, times: Integers, rows: list[MediumRow | None], profiles: list[Profile | None], which: Integers
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each record's key was allowed (K6), and whether its MAC is right."""
        versions = judge.key_versions(columns)
        known = self._on_card(versions, times, rows, which)
        right = np.zeros(len(versions), np.bool_)
        infos = {(info.purpose, info.algorithm, info.version): info for info in self._keys.keys()}  # noqa: SIM118  (no dictionary)
        makes = list({profile.name: profile for profile in profiles if profile is not None}.values())
        numbers = np.array([-1 if profile is None else makes.index(profile) for profile in profiles], np.int64)[which]
        known &= numbers >= 0
        for number, version in sorted(set(zip(numbers[known].tolist(), versions[known].tolist(), strict=True))):
            group = known & (numbers == number) & (versions == version)
            profile = makes[number]
            info = infos.get((TAC if isinstance(profile, PurseProfile) else TMAC, profile.algorithm, version))
            allowed = np.zeros(len(times), np.bool_) if info is None else _allowed(info, times)
            known &= ~group | allowed
            group &= allowed
            if info is None or not group.any():
                continue
            right[group] = (
                self._tacs(info.id, columns, group, profile.make)
                if isinstance(profile, PurseProfile)
                else (self._chip_macs(info.id, columns, group))
            )
        return known, right

    def _on_card(self, versions: Integers, times: Integers, rows: list[MediumRow | None], which: Integers) -> NDArray[np.bool_]:
        """Whether the key version was on the card at that time; a record that names another is nobody's."""
        first = np.full((len(rows) or 1, 3), (-1, 0, 0), np.int64)
        several = []
        known_periods: dict[bytes, list[KeyPeriod]] = {b"": []}  # most cards have the same
        for place, row in enumerate(rows):
            packed = b"" if row is None else row.keys
            if packed not in known_periods:
                known_periods[packed] = unpack_keys(packed)
            periods = known_periods[packed]
            if len(periods) == 1:
                first[place] = periods[0].version, periods[0].valid_from, periods[0].valid_to or FOREVER
            elif periods:
                several.append((place, periods))
        version, start, end = first[which].T
        known: NDArray[np.bool_] = (versions == version) & (times >= start) & (times < end)
        for place, periods in several:
            of = np.flatnonzero(which == place)
            for period in periods:
                within = (times[of] >= period.valid_from) & (times[of] < (period.valid_to or FOREVER))
                known[of] |= (versions[of] == period.version) & within
        return known

    def _tacs(self, key: str, columns: Columns, group: NDArray[np.bool_], make: Make) -> NDArray[np.bool_]:
        chosen = columns.blocks[group]
        parts = {"issuer": chosen["issuer"], "serial": chosen["serial"][:, 2:]}
        factors = np.ascontiguousarray(np.concatenate([parts[level] for level in make.levels], axis=1))
        signed, tacs = np.ascontiguousarray(chosen["signed"]), np.ascontiguousarray(chosen["tac"])
        return self._keys.verify_tacs(key, signed, tacs, factors, make.profile)

    def _chip_macs(self, key: str, columns: Columns, group: NDArray[np.bool_]) -> NDArray[np.bool_]:
        chosen = columns.chips[group]
        inputs, lengths = judge.transaction_inputs(columns, group)
        uids = np.ascontiguousarray(chosen["uid"])
        suffix = np.broadcast_to(self._suffix, (len(uids), len(self._suffix)))
        diversifiers = np.ascontiguousarray(np.concatenate([uids, suffix], axis=1))
        counters, presented = chosen["counter"].astype(np.uint32), np.ascontiguousarray(chosen["tmv"])
        return self._keys.verify_tmacs(key, diversifiers, uids, counters, inputs, presented, lengths)


def _profile(row: MediumRow | None) -> Profile | None:
    """How to speak of a medium's keys; None where its row names no make that this kind of record comes from."""
    found = PROFILES.get(row.profile) if row is not None else None
    if row is None or found is None or isinstance(found, PurseProfile) != row.medium.startswith("pboc:"):
        return None
    return found


def _allowed(info: KeyInfo, times: Integers) -> NDArray[np.bool_]:
    """When the key store lets records name a key (K6)."""
    if not info.valid_at(info.valid_from):
        return np.zeros(len(times), np.bool_)
    allowed: NDArray[np.bool_] = (times >= info.valid_from) & (times < (info.valid_to or FOREVER))
    return allowed
