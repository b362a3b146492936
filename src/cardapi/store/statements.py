# ruff: noqa: S608  (put together from constants of this file; values are always bound)
"""The SQL of the SQLite store. Batch reads take a JSON array, so one statement serves any number of keys."""

ENTRY_COLUMNS = (
    "id, at_us, verb, outcome, code, account_id, card, client, client_key, fingerprint, unit, terminal, operator, approver, reason, "
    "ref, prior, further, liability_fen, body, mac"
)
ENTRY_COLUMNS_E = ", ".join("e." + name for name in ENTRY_COLUMNS.split(", "))
CARD_COLUMNS = "number, account_id, programme, state, state_from, unit, kind, valid_until, flags, pin_value, pin_tries, changed_at"
CARD_COLUMNS_C = ", ".join("c." + name for name in CARD_COLUMNS.split(", "))

MEDIUM_COLUMNS = (
    "medium, account_id, card, profile, state, keys, purse, online_counter, offline_counter, balance_fen, in_flight, changed_at"
)

# Without their rows; see `rows.Insert`.
INSERT_ENTRIES = f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES"
UPSERT_ACCOUNTS = "INSERT INTO account (account_id, state, changed_at) VALUES"
UPSERT_ACCOUNTS_END = "ON CONFLICT (account_id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at"
UPSERT_CARDS = f"REPLACE INTO card ({CARD_COLUMNS}) VALUES"
UPSERT_MEDIA = f"REPLACE INTO medium ({MEDIUM_COLUMNS}) VALUES"
CLEARED_COLUMNS = "key, card, digest, outcome, account_id, amount_fen, balance_fen, counter, at, entry, place"
UPSERT_CLEARED = f"REPLACE INTO clearing_record ({CLEARED_COLUMNS}) VALUES"
DELETE_CLEARED = "DELETE FROM clearing_record WHERE key = ?"
UPSERT_DOCUMENTS = "REPLACE INTO document (kind, id, body) VALUES"
UPSERT_RECORD = (  # no REPLACE: that is a deletion, too, after which SQLite looks for keys that lost their record
    "INSERT INTO record (kind, id, body, keys, changed_at) VALUES (?,?,?,?,?) "
    "ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, keys = excluded.keys, changed_at = excluded.changed_at"
)
INSERT_RECORD_KEY = "INSERT INTO record_key (kind, name, value, id) VALUES (?,?,?,?)"
DELETE_RECORD = "DELETE FROM record WHERE kind = ? AND id = ?"
DELETE_RECORD_KEY = "DELETE FROM record_key WHERE kind = ? AND name = ? AND value = ? AND id = ?"
RECORD_KEYS = "SELECT keys FROM record WHERE kind = ? AND id = ?"
DELETE_DOCUMENT = "DELETE FROM document WHERE kind = ? AND id = ?"
INSERT_PARTITION = "INSERT INTO partition (number, genesis) VALUES (?,?)"

FIND_KEY = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE client = ? AND client_key = ?"
FIND_KEYS = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE client = ? AND client_key IN (SELECT value FROM json_each(?))"
READ_CARD = f"SELECT {CARD_COLUMNS_C}, a.state, a.changed_at FROM card c JOIN account a USING (account_id) WHERE c.number = ?"
# All cards of a batch as one row, a JSON array: one step of the statement, so one hand-over of the interpreter lock.
READ_CARDS = (
    f"SELECT json_group_array(json_array({CARD_COLUMNS_C.replace('c.pin_value', 'hex(c.pin_value)')}, hex(a.state), a.changed_at)) "
    "FROM json_each(?) j CROSS JOIN card c ON c.number = j.value CROSS JOIN account a ON a.account_id = c.account_id"
)
READ_ACCOUNT = (
    f"SELECT {CARD_COLUMNS_C}, a.state, a.changed_at FROM account a JOIN card c USING (account_id) "
    "WHERE a.account_id = ? ORDER BY c.state IN ('swapped', 'destroyed'), c.changed_at DESC, c.number LIMIT 1"
)
ENTRY_BY_ID = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?"
FOLLOWERS = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE ref = ? AND id BETWEEN ? AND ? ORDER BY id"
JOURNAL = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
ENTRY_NAMED = "SELECT mac, liability_fen FROM entry WHERE id = ?"  # as a checkpoint names it; in every schema so far
LAST_ENTRY = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
READ_MEDIUM = f"SELECT {MEDIUM_COLUMNS} FROM medium WHERE medium = ?"
READ_MEDIA = (
    f"SELECT json_group_array(json_array({', '.join(f'm.{name}' for name in MEDIUM_COLUMNS.split(', '))})) "
    "FROM json_each(?) j CROSS JOIN medium m ON m.medium = j.value"
).replace("m.keys", "hex(m.keys)")
MEDIA_OF = f"SELECT {MEDIUM_COLUMNS} FROM medium WHERE account_id = ? ORDER BY medium"
IN_FLIGHT = f"SELECT {MEDIUM_COLUMNS} FROM medium WHERE in_flight > max(0, ?) ORDER BY in_flight LIMIT ?"
# What no till may take: chips of cards out of use, and those that are so themselves (indexes of 0006).
_CHIP = "(m.medium LIKE 'pboc:%' OR m.medium LIKE 'desfire:%')"
BLOCKED = (
    "SELECT m.medium, c.state, c.state_from FROM card c CROSS JOIN medium m ON m.account_id = c.account_id AND m.card = c.number "
    f"WHERE c.state NOT IN ('active', 'stock', 'issued') AND {_CHIP} "
    "UNION ALL SELECT m.medium, m.state, 0 FROM medium m JOIN card c ON c.number = m.card "
    f"WHERE m.state <> 'active' AND c.state IN ('active', 'stock', 'issued') AND {_CHIP}"
)
MEDIA = f"SELECT {MEDIUM_COLUMNS} FROM medium ORDER BY medium"
READ_CLEARED = f"SELECT {CLEARED_COLUMNS} FROM clearing_record WHERE key = ?"
CLEARED = f"SELECT {CLEARED_COLUMNS} FROM clearing_record WHERE key > ? ORDER BY key"
CLEARED_AT = (  # by the index of 0008, which has chips only
    f"SELECT {CLEARED_COLUMNS} FROM clearing_record WHERE card = ? AND counter = ? AND length(card) = 17 AND substr(card, 17) = x'00'"
)
CLEARED_BY_CARD = f"SELECT {CLEARED_COLUMNS} FROM clearing_record WHERE card > ? ORDER BY card, counter, key"
PARTITIONS = "SELECT number, genesis FROM partition ORDER BY number"
STRAYS = "SELECT DISTINCT id >> 48 FROM entry WHERE id >> 48 NOT IN (SELECT number FROM partition)"
LAST_ACCOUNT = "SELECT max(account_id) FROM account WHERE account_id BETWEEN ? AND ?"
DOCUMENTS = "SELECT kind, id, body FROM document ORDER BY kind, id"
DOCUMENTS_OF = "SELECT kind, id, body FROM document WHERE kind = ? ORDER BY id"
CARDS = f"SELECT {CARD_COLUMNS} FROM card ORDER BY number"
ACCOUNTS = "SELECT account_id, state, changed_at FROM account WHERE account_id > ? ORDER BY account_id LIMIT ?"
RECORD_COLUMNS = "kind, id, body, keys, changed_at"
RECORDS = f"SELECT {RECORD_COLUMNS} FROM record WHERE kind = ? AND id IN (SELECT value FROM json_each(?))"
FIND_RECORDS = (
    "SELECT r.kind, r.id, r.body, r.keys, r.changed_at FROM record_key k JOIN record r ON r.kind = k.kind AND r.id = k.id "
    "WHERE k.kind = ? AND k.name = ? AND (k.value, k.id) > (?, ?) AND k.value <= ? ORDER BY k.value, k.id LIMIT ?"
)
ALL_RECORDS = f"SELECT {RECORD_COLUMNS} FROM record ORDER BY kind, id"
RECORDS_OF = f"SELECT {RECORD_COLUMNS} FROM record WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
JOURNALED_RECORDS = f"SELECT {RECORD_COLUMNS} FROM record WHERE changed_at > 0"
_KEYS_NAMED = "SELECT r.kind, j.value ->> 0 AS name, j.value ->> 1 AS value, r.id FROM record r, json_each(r.keys) j"
_KEYS_KEPT = "SELECT kind, name, value, id FROM record_key"
RECORD_KEY_DIFFERENCES = (
    f"SELECT DISTINCT kind, id FROM (SELECT * FROM ({_KEYS_NAMED} EXCEPT {_KEYS_KEPT}) "
    f"UNION ALL SELECT * FROM ({_KEYS_KEPT} EXCEPT {_KEYS_NAMED})) LIMIT 10"
)
COUNT = {table: f"SELECT count(*) FROM {table}" for table in ("entry", "card", "account", "document", "medium", "record")}
DELETE_PROJECTIONS = tuple(f"DELETE FROM {table}" for table in ("clearing_record", "medium", "card", "account", "document"))
