"""Whole batches at once: numpy arrays of octets in, MACs, keys or verdicts out, item by item in the same order.

The work runs in the C kernels with the GIL released (`backend` forces one, see `backends`). Keys are one `Key` for all items or a
uint8 array with one key a row. A verdict is False for a wrong MAC and says nothing more; every comparison takes the same time.
Arrays of keys that come back belong to the caller: overwrite them with `cardcore.crypto.wipe` after use.

All functions raise InvalidCryptoInput for arrays of the wrong shape, InvalidKey, and BackendUnavailable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardcore.crypto import fallback, kernel, pboc
from cardcore.crypto.backends import FALLBACK, choose
from cardcore.crypto.diversify import AN10922_CONSTANTS
from cardcore.crypto.diversify import pboc as diversify_one
from cardcore.crypto.errors import InvalidCryptoInput, InvalidKey
from cardcore.crypto.key import Key, wipe
from cardcore.crypto.tmac import MAC_PREFIX, TMV_OCTETS

Octets = NDArray[np.uint8]
Verdicts = NDArray[np.bool_]

TAC_RECORD = np.dtype(
    [("amount", ">u4"), ("kind", "u1"), ("terminal", "u1", 6), ("terminal_number", ">u4"), ("date", "u1", 4), ("time", "u1", 3)]
)
"""What a purchase TAC covers, in the order it is signed (22 octets): an array of these goes to `verify_tacs` as it is.

amount in fen; kind 05, 06, 09 ...; date and time in BCD (YYYYMMDD, hhmmss).
"""


def _family(keys: Key | Octets, cipher: str | None) -> tuple[str, str]:
    """Family of the kernels and name of the cipher."""
    cipher = keys.algorithm if isinstance(keys, Key) else cipher
    if cipher not in ("aes", "des", "tdes"):
        raise InvalidKey("say which cipher the keys are for: aes, des or tdes", cipher=cipher)
    return ("aes" if cipher == "aes" else "des"), cipher


def _matrix(array: Octets, what: str, octets: int | None = None) -> Octets:
    if array.ndim != 2 or array.dtype != np.uint8 or (octets is not None and array.shape[1] != octets):
        raise InvalidCryptoInput(f"{what} must be a uint8 array with a row{f' of {octets} octets' if octets else ''} an item", what=what)
    return array


def cmac_batch(keys: Key | Octets, messages: Octets, *, cipher: str | None = None, backend: str | None = None) -> Octets:
    """The whole CMAC of each row (NIST SP 800-38B). cipher: needed when `keys` is an array: "aes", "tdes" or "des"."""
    family, _ = _family(keys, cipher)
    engine = choose(family, backend)
    if engine == FALLBACK:
        return fallback.cmacs(keys, _matrix(messages, "messages"))
    return kernel.macs(family, engine, keys, messages, kind="cmac", padding="cmac")


def verify_cmacs(
    keys: Key | Octets, messages: Octets, presented: Octets, *, odd: bool = False, cipher: str | None = None, backend: str | None = None
) -> Verdicts:
    """Whether each presented MAC (4 octets or more) is the head of the CMAC, or with `odd` its octets 1, 3, 5 ..."""
    family, _ = _family(keys, cipher)
    engine = choose(family, backend)
    first, step = (1, 2) if odd else (0, 1)
    if engine == FALLBACK:
        return _compared(fallback.cmacs(keys, _matrix(messages, "messages")), presented, first, step)
    return kernel.macs(family, engine, keys, messages, kind="cmac", padding="cmac", presented=presented, first=first, step=step)


def _compared(macs: Octets, presented: Octets, first: int, step: int) -> Verdicts:
    _matrix(presented, "presented")
    taken = macs[:, first::step][:, : presented.shape[1]]
    if len(presented) != len(macs) or presented.shape[1] < 4 or taken.shape != presented.shape:
        raise InvalidCryptoInput("presented MACs of no length the construction gives", octets=presented.shape[1])
    # Every octet of every item is looked at, whatever the outcome.
    verdicts: Verdicts = np.count_nonzero(taken ^ presented, axis=1) == 0
    wipe(macs)
    return verdicts


def mac_batch(
    keys: Key | Octets, messages: Octets, *, algorithm: int = 1, padding: int = 2, cipher: str | None = None, backend: str | None = None
) -> Octets:
    """ISO/IEC 9797-1 MACs with DES or TDES, 8 octets each. algorithm 1 (CBC-MAC) or 3 (retail), padding 1 or 2."""
    family, _ = _family(keys, cipher)
    if algorithm not in (1, 3) or padding not in (1, 2) or family != "des":
        raise InvalidCryptoInput("MAC algorithm 1 or 3, padding 1 or 2, DES or TDES", algorithm=algorithm, padding=padding)
    kind = "cbc" if algorithm == 1 else "retail"
    return kernel.macs(family, choose(family, backend), keys, messages, kind=kind, padding="zero" if padding == 1 else "bit")


def crypt_batch(
    keys: Key | Octets, blocks: Octets, *, decrypt: bool = False, cipher: str | None = None, backend: str | None = None
) -> Octets:
    """One block an item, ECB: for personalisation batches that export nothing else."""
    family, _ = _family(keys, cipher)
    engine = choose(family, backend)
    if engine == FALLBACK:
        return fallback.crypt(keys, _matrix(blocks, "blocks"), decrypt=decrypt)
    return kernel.crypt(family, engine, keys, blocks, decrypt)


def diversify_an10922_batch(master: Key, diversifiers: Octets, *, backend: str | None = None) -> Octets:
    """The AN10922 key of each row (see `diversify.an10922`): as many octets a row as the master has."""
    constants = AN10922_CONSTANTS.get((master.algorithm, len(master)))
    if constants is None:
        raise InvalidKey(f"AN10922 has no {master.algorithm} keys of {len(master)} octets", algorithm=master.algorithm)
    family = "aes" if master.algorithm == "aes" else "des"
    least = 32 if family == "aes" else 16
    if not 1 <= _matrix(diversifiers, "diversifiers").shape[1] < least:
        raise InvalidCryptoInput(f"a diversifier has 1 to {least - 1} octets", octets=diversifiers.shape[1])
    engine = choose(family, backend)
    parts = []
    for constant in constants:
        if engine == FALLBACK:
            parts.append(fallback.cmacs(master, diversifiers, prefix=constant, least=least))
        else:
            parts.append(kernel.macs(family, engine, master, diversifiers, kind="cmac", padding="cmac", prefix=constant, least=least))
    if len(parts) == 1:
        return parts[0]
    if len(master) == 24 and family == "aes":
        parts[0][:, 8:] ^= parts[1][:, :8]
        keys = np.concatenate([parts[0], parts[1][:, 8:]], axis=1)
    else:
        keys = np.concatenate(parts, axis=1)
    for part in parts:
        wipe(part)
    return keys


def diversify_pboc_batch(master: Key | Octets, factors: Octets, *, backend: str | None = None) -> Octets:
    """The double-length TDES key of each row of factors, 8 octets a level, outermost first (see `diversify.pboc`)."""
    return kernel.diversify(choose("des", backend), master, factors)


def verify_tacs(
    keys: Key | Octets,
    records: NDArray,
    tacs: Octets,
    *,
    factors: Octets | None = None,
    profile: pboc.Profile = pboc.PBOC2_3DES,
    backend: str | None = None,
) -> Verdicts:
    """Whether each TAC (row of 4 octets) belongs to its record: PBOC purchase, withdrawal, load or unload (control D).

    keys: the TAC master key with `factors` (8 octets a level, outermost first), or the card's own TAC key, or one a row.
    records: array of `TAC_RECORD`, or rows of octets as `pboc` lays them out. Profiles with SM4 run one item at a time.
    """
    if records.dtype == TAC_RECORD:
        records = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), TAC_RECORD.itemsize)
    _matrix(tacs, "tacs", pboc.MAC_OCTETS)
    if isinstance(keys, Key) and keys.algorithm != profile.cipher:
        raise InvalidKey(f"profile {profile.name} takes {profile.cipher} keys", algorithm=keys.algorithm)
    if profile.cipher == "tdes":
        kind, padding = "folded" if profile.tac_folded else "cbc", "zero" if profile.mac_padding == 1 else "bit"
        return kernel.macs("des", choose("des", backend), keys, records, kind=kind, padding=padding, factors=factors, presented=tacs)
    return _verify_tacs_singly(keys, _matrix(records, "records"), tacs, factors, profile)


def _verify_tacs_singly(keys: Key | Octets, records: Octets, tacs: Octets, factors: Octets | None, profile: pboc.Profile) -> Verdicts:
    items = len(records)
    for what, array in (("tacs", tacs), ("factors", factors), ("keys", None if isinstance(keys, Key) else keys)):
        if array is not None and len(array) != items:
            raise InvalidCryptoInput(f"{what} has {len(array)} rows, not {items}", what=what, rows=len(array))
    macs = np.empty((items, pboc.MAC_OCTETS), np.uint8)
    rows = keys if isinstance(keys, Key) else np.ascontiguousarray(keys)
    for i in range(items):
        key = rows if isinstance(rows, Key) else Key(profile.cipher, memoryview(rows[i]))
        if factors is not None:
            chain = factors[i].tobytes()
            key = diversify_one(key, [chain[at : at + 8] for at in range(0, len(chain), 8)])
        macs[i] = np.frombuffer(pboc.mac4(pboc.tac_key(profile, key), records[i].tobytes(), profile), np.uint8)
    return _compared(macs, tacs, 0, 1)


def verify_tmacs(
    keys: Key | Octets,
    uids: Octets,
    counters: NDArray[np.uint32],
    inputs: Octets,
    presented: Octets,
    *,
    lengths: NDArray[np.integer] | None = None,
    backend: str | None = None,
) -> Verdicts:
    """Whether each DESFire TMV (row of 8 octets) belongs to its card, counter and transaction input (see `tmac`).

    keys: the AppTransactionMACKey, one for all or one a row (from `diversify_an10922_batch`). uids: 7 octets a row.
    counters: TMC as Commit returned it. inputs: TMI, zero filled to the longest; lengths: octets of each, when they differ.
    """
    items = len(_matrix(inputs, "inputs"))
    _matrix(uids, "uids", 7)
    _matrix(presented, "presented", TMV_OCTETS)
    if counters.shape != (items,) or counters.dtype != np.uint32 or len(uids) != items or len(presented) != items:
        raise InvalidCryptoInput("counters must be uint32, and every array must have one row an item", rows=items)
    if lengths is not None and (lengths.shape != (items,) or (items and not 0 <= np.min(lengths) <= np.max(lengths) <= inputs.shape[1])):
        raise InvalidCryptoInput("lengths must lie within the inputs", rows=items)
    vectors = np.empty((items, 16), np.uint8)
    vectors[:, :5] = np.frombuffer(MAC_PREFIX, np.uint8)
    vectors[:, 5:9] = counters.astype("<u4").view(np.uint8).reshape(items, 4)
    vectors[:, 9:] = uids
    sessions = cmac_batch(keys, vectors, cipher="aes", backend=backend)
    try:
        if lengths is None:
            return verify_cmacs(sessions, inputs, presented, odd=True, cipher="aes", backend=backend)
        verdicts = np.zeros(items, np.bool_)
        for length in np.unique(lengths):
            of = np.flatnonzero(lengths == length)
            chosen = sessions[of]
            # Contiguous copies of the rows of one length; the keys among them are wiped like the rest.
            verdicts[of] = verify_cmacs(chosen, inputs[of, :length], presented[of], odd=True, cipher="aes", backend=backend)
            wipe(chosen)
        return verdicts
    finally:
        wipe(sessions)
