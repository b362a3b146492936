"""What every store must do (the port), run over each adapter: the bodies are opaque bytes, no money is decided here.

Goal: a second adapter passes this suite unchanged. Method: small batches with known rows, read back on another view and
after closing and opening again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cardapi.store.chain import entry_mac, genesis_mac, holds, pack_further, seal, unpack_further
from cardapi.store.media import KeyPeriod, pack_keys
from cardapi.store.port import AccountRow, Batch, CardRow, Entry, Head, MediumRow, Store
from cardcore.clearing.body import Row
from cardcore.errors import CardcoreError
from tests.store.adapters import ADAPTERS, close_postgres

KEY = bytes(range(32))


def make_entry(position: int, /, **changes: object) -> Entry:
    fields: dict[str, object] = {
        "partition": 0, "position": position, "at_us": 1_000_000 + position, "verb": "settle", "outcome": "applied", "code": "",
        "account_id": 0, "card": "", "client": "terminal:t1", "client_key": f"key-{position}", "fingerprint": bytes(16), "unit": "u",
        "terminal": "t1", "operator": "", "approver": "", "reason": "", "ref": 0, "prior": 0, "further": b"",
        "liability_fen": 10 * position, "body": b"body", "mac": bytes(32),
    }  # fmt: skip
    return Entry(**{**fields, **changes})  # type: ignore[arg-type]


def make_card(number: str, account_id: int, changed_at: int = 1, state: str = "active") -> CardRow:
    return CardRow(number, account_id, "plain", state, 0, "u", "primary", 0, 0, b"", 0, changed_at)


def make_medium(name: str, account_id: int, in_flight: int = 0, changed_at: int = 1, **changes: object) -> MediumRow:
    keys = pack_keys([KeyPeriod(1, 0, 0)])
    row = MediumRow(name, account_id, "88010001", "pboc2-3des", "active", keys, 2, 7, 9, 12_50, in_flight, changed_at)
    return msgspec.structs.replace(row, **changes)


class Opened:
    def __init__(self, adapter: Callable[[Path], Store], directory: Path) -> None:
        self._adapter, self._directory = adapter, directory
        self.store = adapter(directory)

    def views(self) -> Iterator[Store]:
        """The committing view, a reader beside it, and the store opened again."""
        yield self.store
        reader = self.store.reader()
        yield reader
        reader.close()
        yield self.again()

    def again(self) -> Store:
        self.store.close()
        self.store = self._adapter(self._directory)
        return self.store


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(request.param, tmp_path)
    yield opened
    opened.store.close()
    close_postgres(tmp_path)


def test_an_empty_store(opened: Opened) -> None:
    store = opened.store
    assert list(store.partitions()) == [0]
    assert len(store.partitions()[0]) == 16
    assert [(head.position, head.liability_fen) for head in store.heads()] == [(0, 0)]
    assert store.counts() == {"entries": 0, "cards": 0, "accounts": 0, "documents": 0, "media": 0, "records": 0}
    assert store.next_account_number(0) == 1
    assert store.entry(0, 1) is None
    assert store.entry(0, 0) is None
    assert store.entry(300, 1) is None
    assert store.read(["1"]) == {}
    assert store.find_keys([("a", "b")]) == {}
    assert list(store.journal(0)) == []
    assert store.statement(5, None, 10) == []
    assert store.check() == []


def test_everything_committed_is_read_back(opened: Opened) -> None:
    entries = [make_entry(n, account_id=7, card="8801000000000013", prior=n - 1) for n in range(1, 4)]
    card, account = make_card("8801000000000013", 7, 3), AccountRow(7, b"state", 3)
    document = ("unit", "issuer", b'{"id":"issuer"}')
    medium = make_medium("pboc:00112233445566770000000000000000001", 7)
    opened.store.commit(Batch(entries, [card], [account], [document], [medium]))
    for store in opened.views():
        assert list(store.journal(0)) == entries
        assert store.entry(0, 2) == entries[1]
        found = store.read([card.number, "8801000000000021"])
        assert list(found) == [card.number]
        assert (found[card.number].card, found[card.number].account) == (card, account)
        assert store.read_accounts([7, 8]) == {7: found[card.number]}
        assert store.find_keys([("terminal:t1", "key-2"), ("terminal:t2", "key-2")]) == {("terminal:t1", "key-2"): entries[1]}
        assert list(store.documents()) == list(store.documents("unit")) == [document]
        assert list(store.documents("terminal")) == []
        assert (list(store.cards()), list(store.accounts()), list(store.media())) == ([card], [account], [medium])
        assert store.read_media([medium.medium]) == {medium.medium: medium}
        assert (store.media_of(7), store.media_of(8)) == ([medium], [])
        assert store.heads() == [Head(0, 3, bytes(32), 30, 1_000_003)]
        assert store.counts() == {"entries": 3, "cards": 1, "accounts": 1, "documents": 1, "media": 1, "records": 0}
        assert store.next_account_number(0) == 8
        assert store.check() == []


def test_parts_of_a_batch_are_there_with_its_commit_and_not_before(opened: Opened) -> None:
    """Whether a store takes parts or not; it says so."""
    entries = [make_entry(position) for position in range(1, 8)]
    for keep in (False, True):
        opened.store.begin((0,), [(entry.client, entry.client_key) for entry in entries], [])
        left = list(entries)
        for part in range(0, 6, 2):
            account = AccountRow(7, b"after %d" % part, part + 2)
            if opened.store.feed(entries[part : part + 2], [account]):
                left = left[2:]
        reader = opened.store.reader()
        assert list(reader.journal(0)) == []
        reader.close()
        if keep:
            opened.store.commit(Batch(left, [make_card("88010001", 7)], [AccountRow(7, b"last", 7)], []))
        else:
            opened.store.abandon()
    for view in opened.views():
        assert list(view.journal(0)) == entries
        assert view.read(["88010001"])["88010001"].account == AccountRow(7, b"last", 7)


def test_a_reader_sees_each_commit(opened: Opened) -> None:
    reader = opened.store.reader()
    for position in range(1, 5):
        opened.store.commit(Batch([make_entry(position)], [], [], []))
        assert reader.heads()[0].position == position
    reader.close()


def test_many_keys_and_cards_at_once(opened: Opened) -> None:
    """Batch reads give the same as single ones, whatever the size, the client and the characters of a key."""
    awkward = ['"', "\\", "é", "' OR 1", "\U0001f4b3", "1", "01", " "]
    entries = [make_entry(n, client=f"terminal:t{n % 3}", client_key=awkward[n] if n < len(awkward) else f"k{n}") for n in range(1, 200)]
    cards = [make_card(f"88010000{n:08d}", n) for n in range(1, 200)]
    accounts = [AccountRow(n, bytes([n]), 1) for n in range(1, 200)]
    opened.store.commit(Batch(entries, cards, accounts, []))
    for size in (1, 7, 8, 9, 50, 199):
        keys = [(entry.client, entry.client_key) for entry in entries[:size]]
        assert opened.store.find_keys([*keys, ("terminal:t0", "absent")]) == dict(zip(keys, entries[:size], strict=True))
        numbers = [card.number for card in cards[:size]]
        found = opened.store.read([*numbers, "88019999"])
        assert [found[number].account.state for number in numbers] == [bytes([n]) for n in range(1, size + 1)]
        assert len(found) == size


def test_a_batch_is_all_or_nothing(opened: Opened) -> None:
    opened.store.commit(Batch([make_entry(1)], [], [AccountRow(7, b"one", 1)], []))
    clash = make_entry(3, client_key="key-1")
    with pytest.raises(CardcoreError):
        opened.store.commit(Batch([make_entry(2), clash], [], [AccountRow(7, b"two", 2)], [("unit", "u", b"{}")]))
    for store in opened.views():
        assert store.heads()[0].position == 1
        assert [account.state for account in store.accounts()] == [b"one"]
        assert list(store.documents()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "maybe"}, {"code": "x"}, {"outcome": "refused"}, {"liability_fen": -1}, {"fingerprint": b"short"}, {"mac": b""},
        {"client_key": ""}, {"client_key": "k" * 256}, {"client": ""}, {"ref": -1}, {"prior": 5}, {"at_us": 0}, {"position": 0},
        {"further": b"123"}, {"verb": ""},
    ],
    ids=str,
)  # fmt: skip
def test_constraints_of_an_entry(opened: Opened, changes: dict[str, object]) -> None:
    with pytest.raises(CardcoreError):
        opened.store.commit(Batch([make_entry(5, **changes)], [], [], []))
    assert opened.store.counts()["entries"] == 0


def test_constraints_of_cards_and_accounts(opened: Opened) -> None:
    good = AccountRow(7, b"x", 1)
    for card in (
        make_card("88010001", 8), make_card("880", 7), make_card("88010001", 7, state="odd"),
        msgspec.structs.replace(make_card("88010001", 7), pin_tries=-1),
        msgspec.structs.replace(make_card("88010001", 7), pin_value=b"1234"),
    ):  # fmt: skip
        with pytest.raises(CardcoreError):
            opened.store.commit(Batch([], [card], [good], []))
    for account in (AccountRow(0, b"x", 1), AccountRow(1, b"", 1), AccountRow(1, b"x", 0)):
        with pytest.raises(CardcoreError):
            opened.store.commit(Batch([], [], [account], []))
    assert opened.store.counts() == {"entries": 0, "cards": 0, "accounts": 0, "documents": 0, "media": 0, "records": 0}


def test_constraints_of_a_medium(opened: Opened) -> None:
    account = AccountRow(7, b"x", 1)
    for wrong in (
        make_medium("pboc", 7), make_medium(":1", 7), make_medium("pboc:", 7), make_medium("pboc:1", 8), make_medium("uid:" + "0" * 125, 7),
        make_medium("pboc:1", 7, card=""), make_medium("pboc:1", 7, state="lost"), make_medium("pboc:1", 7, keys=b""),
        make_medium("pboc:1", 7, purse=3), make_medium("pboc:1", 7, online_counter=65_536), make_medium("pboc:1", 7, online_counter=-1),
        make_medium("pboc:1", 7, offline_counter=1 << 32), make_medium("pboc:1", 7, balance_fen=-1), make_medium("pboc:1", 7, -1),
        make_medium("pboc:1", 7, 0, 0),
    ):  # fmt: skip
        with pytest.raises(CardcoreError):
            opened.store.commit(Batch([], [], [account], [], [wrong]))
    assert opened.store.counts()["media"] == 0


def test_media_at_once_of_an_account_and_in_flight(opened: Opened) -> None:
    """Batch reads give the same as single ones; an upsert keeps the last row; what is in flight comes by age, by pages."""
    media = [make_medium(f"pboc:{n:04d}", 7 + n % 2, in_flight=(100 - n) * (n % 3 == 0)) for n in range(99)]
    opened.store.commit(Batch([], [], [AccountRow(7, b"a", 1), AccountRow(8, b"b", 1)], [], media))
    for store in opened.views():
        for size in (1, 2, 99):
            wanted = [row.medium for row in media[:size]]
            assert store.read_media([*wanted, "pboc:absent"]) == {row.medium: row for row in media[:size]}
        assert store.media_of(8) == [row for row in media if row.account_id == 8]
        open_ones = sorted((row for row in media if row.in_flight), key=lambda row: row.in_flight)
        assert store.in_flight(0, 5) == open_ones[:5]
        assert store.in_flight(open_ones[4].in_flight, 1_000) == open_ones[5:]
    opened.store.commit(Batch([], [], [], [], [msgspec.structs.replace(open_ones[0], in_flight=0, state="retired")]))
    assert opened.store.in_flight(0, 1) == [open_ones[1]]


def test_the_chips_that_no_till_may_take(opened: Opened) -> None:
    """Of cards that are out of use since when, and chips that are so themselves; what only identifies is no chip."""
    states = ("stock", "issued", "active", "lost", "frozen", "swapped", "cancelled", "expired", "destroyed")
    cards = [make_card(f"8801000{n}", 7 + n, 1, state) for n, state in enumerate(states)]
    cards[3] = msgspec.structs.replace(cards[3], state_from=1_790_000_000)
    media = [make_medium(f"pboc:{n:04d}", 7 + n, card=f"8801000{n}") for n in range(9)]
    media += [
        make_medium("desfire:01", 9, card="88010002", state="retired"), make_medium("desfire:02", 9, card="88010002", state="blocked"),
        make_medium("desfire:03", 10, card="88010003", state="blocked"), make_medium("uid:04", 10, card="88010003"),
    ]  # fmt: skip
    opened.store.commit(Batch([], cards, [AccountRow(7 + n, b"a", 1) for n in range(9)], [], media))
    for store in opened.views():
        assert sorted(store.blocked()) == [
            ("desfire:01", "retired", 0), ("desfire:02", "blocked", 0), ("desfire:03", "lost", 1_790_000_000),
            ("pboc:0003", "lost", 1_790_000_000), *((f"pboc:{n:04d}", states[n], 0) for n in range(4, 9)),
        ]  # fmt: skip


def test_off_line_purchases_by_key_by_terminal_and_by_card(opened: Opened) -> None:
    """Found by key, in the orders that reports ask for; taken away and written again; replaced whole by a rebuild."""
    rows = [
        Row(b"\1" + bytes([n]) * 27, bytes([n % 5]) * 17, bytes([n]) * 16, n % 3, 7, n, -n, n % 4, 1_790_000_000 + n, 1 << 48 | n + 1, n)
        for n in range(7)
    ]
    unproven = Row(bytes(28), b"", bytes(16), 5, 0, 0, 0, 0, -1, 1, 0)
    opened.store.commit(Batch([], [], [], [], cleared=[*reversed(rows), unproven]))
    for store in opened.views():
        assert store.read_cleared([rows[3].key, bytes([9]) * 28, unproven.key]) == {rows[3].key: rows[3], unproven.key: unproven}
        assert list(store.cleared()) == sorted([*rows, unproven])
        assert list(store.cleared(rows[2].key)) == sorted(rows)[3:]
        assert list(store.cleared_by_card()) == sorted(rows, key=lambda row: (row.card, row.counter, row.key))
    chips = [
        Row(b"\1" + bytes([100 + n]) * 27, bytes([50 + n % 2]) * 16 + b"\0", bytes([n]) * 16, 0, 7, 1, 1, n // 2, 1, 1 << 48 | 90, n)
        for n in range(8)
    ]
    purse = rows[6]._replace(key=bytes([1, 9]) * 14, card=bytes([50]) * 16 + b"\2", counter=1)
    opened.store.commit(Batch([], [], [], [], cleared=[*chips, purse]))
    for store in opened.views():
        assert sorted(store.cleared_at([(chips[2].card, 1), (chips[7].card, 3), (chips[0].card, 9)])) == [chips[2], chips[7]]
        assert store.cleared_at([]) == []
    opened.store.commit(Batch([], [], [], [], uncleared=[*(row.key for row in chips), purse.key]))
    opened.store.commit(Batch([], [], [], [], cleared=[rows[0]._replace(outcome=4)], uncleared=[unproven.key, rows[0].key]))
    assert list(opened.store.cleared()) == [rows[0]._replace(outcome=4), *rows[1:]]
    opened.store.rebuild([], [], [], cleared=rows[4:])
    assert list(opened.store.cleared()) == rows[4:]


def test_upserts_keep_the_last_row(opened: Opened) -> None:
    opened.store.commit(Batch([], [make_card("88010001", 7)], [AccountRow(7, b"a", 1)], [("unit", "u", b"1")]))
    opened.store.commit(Batch([], [make_card("88010001", 7, 2, "frozen")], [AccountRow(7, b"b", 2)], [("unit", "u", b"2")]))
    assert opened.store.read(["88010001"])["88010001"].card.state == "frozen"
    assert opened.store.read(["88010001"])["88010001"].account == AccountRow(7, b"b", 2)
    assert list(opened.store.documents()) == [("unit", "u", b"2")]


def test_the_living_number_stands_for_its_account(opened: Opened) -> None:
    cards = [make_card("88010001", 7, 9, "destroyed"), make_card("88010002", 7, 3, "frozen"), make_card("88010003", 7, 8, "swapped")]
    opened.store.commit(Batch([], cards, [AccountRow(7, b"a", 9)], []))
    assert opened.store.read_accounts([7])[7].card.number == "88010002"


def test_followers_and_ranges(opened: Opened) -> None:
    entries = [make_entry(n, ref={3: 1, 5: 1, 6: 2}.get(n, 0)) for n in range(1, 2_500)]
    opened.store.commit(Batch(entries, [], [], []))
    assert [entry.position for entry in opened.store.followers(0, 1)] == [3, 5]
    assert opened.store.followers(0, 4) == []
    assert [entry.position for entry in opened.store.journal(0, 10, 13)] == [11, 12, 13]
    assert [entry.position for entry in opened.store.journal(0)] == list(range(1, 2_500))


def test_statement_walks_back_pointers(opened: Opened) -> None:
    """Entry 4 belongs to account 8 and touches 7 too: both walks pass through it."""
    entries = [
        make_entry(1, account_id=7), make_entry(2, account_id=8), make_entry(3, account_id=7, prior=1),
        make_entry(4, account_id=8, prior=2, further=pack_further([(7, 3)])), make_entry(5, account_id=7, prior=4),
    ]  # fmt: skip
    opened.store.commit(Batch(entries, [], [AccountRow(7, b"x", 5), AccountRow(8, b"x", 4)], []))
    walk = [entry.position for entry in opened.store.statement(7, None, 10)]
    assert walk == [5, 4, 3, 1]
    assert [entry.position for entry in opened.store.statement(7, None, 2)] == [5, 4]
    assert [entry.position for entry in opened.store.statement(7, 4, 2)] == [3, 1]
    assert [entry.position for entry in opened.store.statement(8, None, 10)] == [4, 2]


def test_rebuild_replaces_projections_only(opened: Opened) -> None:
    card, old, new = make_card("88010001", 7), make_medium("pboc:1", 7), make_medium("pboc:2", 9)
    opened.store.commit(Batch([make_entry(1)], [card], [AccountRow(7, b"a", 1)], [("unit", "u", b"1")], [old]))
    opened.store.rebuild(iter([make_card("88010002", 9)]), iter([AccountRow(9, b"b", 1)]), iter([]), iter([new]))
    store = opened.again()
    assert [card.number for card in store.cards()] == ["88010002"]
    assert [account.account_id for account in store.accounts()] == [9]
    assert list(store.documents()) == []
    assert list(store.media()) == [new]
    assert store.counts()["entries"] == 1


# ---------------------------------------------------------------- the chain, which is the same over every adapter
def test_the_chain_covers_every_field_and_its_place() -> None:
    genesis = genesis_mac(KEY, 0, bytes(16))
    entry = seal(KEY, genesis, msgspec.structs.astuple(make_entry(1, card="12", client="34"))[:-1])
    assert holds(KEY, genesis, entry)
    for name in Entry.__struct_fields__:
        value = getattr(entry, name)
        changed = value + 1 if isinstance(value, int) else value + "x" if isinstance(value, str) else value[:-1] + b"\xff"
        assert not holds(KEY, genesis, msgspec.structs.replace(entry, **{name: changed})), name
    assert not holds(KEY, entry.mac, entry)
    assert not holds(bytes(32), genesis, entry)
    assert genesis_mac(KEY, 1, bytes(16)) != genesis
    assert genesis_mac(KEY, 0, bytes(15) + b"\1") != genesis


def test_the_encoding_is_injective() -> None:
    """Moving a character from one field to its neighbour, or bytes to text, gives another mac."""
    base = list(msgspec.structs.astuple(make_entry(1, unit="ab", terminal="c"))[:-1])
    place = Entry.__struct_fields__.index("unit")
    moved = [*base[:place], "a", "bc", *base[place + 2 :]]
    typed = [b"body" if value == "ab" else value for value in base]
    macs = {entry_mac(KEY, b"", tuple(fields)) for fields in (base, moved, typed)}
    assert len(macs) == 3


def test_the_mac_by_hand() -> None:
    """HMAC-SHA256 over the previous mac and a MessagePack array written out byte by byte (docs/journal.md)."""
    import hashlib
    import hmac

    entry = make_entry(1)
    text = lambda value: bytes([0xA0 | len(value)]) + value.encode()  # noqa: E731
    blob = lambda value: b"\xc4" + bytes([len(value)]) + value  # noqa: E731
    encoded = (
        b"\xdc\x00\x15" + b"\x00\x01" + b"\xce" + (1_000_001).to_bytes(4, "big") + text("settle") + text("applied") + text("") + b"\x00"
        + text("") + text("terminal:t1") + text("key-1") + blob(bytes(16)) + text("u") + text("t1") + text("") * 3 + b"\x00" + b"\x00"
        + blob(b"") + b"\x0a" + blob(b"body")
    )  # fmt: skip
    expected = hmac.new(KEY, b"previous" + encoded, hashlib.sha256).digest()
    assert entry_mac(KEY, b"previous", msgspec.structs.astuple(entry)[:-1]) == expected


def test_further_accounts() -> None:
    pairs = [(7, 3), (1 << 40 | 9, 0)]
    assert unpack_further(pack_further(pairs)) == pairs
    with pytest.raises(ValueError, match="pairs"):
        unpack_further(b"1234567890")
