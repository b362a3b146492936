# ruff: noqa: S608  (put together from constants of this file; values are always bound)
"""The SQL of the PostgreSQL store. A batch is one parameter for each column, and every statement names its partitions.

Pitfalls this file minds: rows are found by index through `= any(array)` or a lateral probe, never by joining two `unnest`s,
whose sizes the planner guesses; the serving connections switch off what could replace a probe by a scan (`SETTINGS`).
`HOT` lists what money verbs run, and what follows the registry beside them: `tests/postgres` proves that it is all of them, and of
each that it reads its partitions' keys only (docs/scaling.md).
"""

from cardapi.store.postgres_records import STRAYS

ENTRY = (
    "partition, position, at_us, verb, outcome, code, account_id, card, client, client_key, fingerprint, unit, terminal, operator, "
    "approver, reason, ref, prior, further, liability_fen, body, mac"
)
ENTRY_E = ", ".join("e." + name for name in ENTRY.split(", "))
CARD = "number, account_id, programme, state, state_from, unit, kind, valid_until, flags, pin_value, pin_tries, changed_at"
CARD_C = ", ".join("c." + name for name in CARD.split(", "))
MEDIUM = "medium, account_id, card, profile, state, keys, purse, online_counter, offline_counter, balance_fen, in_flight, changed_at"

# A generic plan made while the tables were small must not read them whole when they are large.
SETTINGS = {
    "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off", "plan_cache_mode": "force_generic_plan",
    "client_min_messages": "warning", "idle_in_transaction_session_timeout": "10s", "lock_timeout": "20s", "statement_timeout": "60s",
    "TimeZone": "UTC",
}  # fmt: skip
READER_SETTINGS = {"client_min_messages": "warning", "jit": "off", "TimeZone": "UTC"}
# Said once we are in: an address that looks for the primary (`target_session_attrs=read-write`) would pass over a read-only session.
READ_ONLY = "SET default_transaction_read_only = on"
# Which server it is: one that starts again, a standby and a primary of old each started at another moment.
STARTED = "SELECT pg_postmaster_start_time()"


def _columns(count: int) -> str:
    return ", ".join(["%b"] * count)


# As a checkpoint names it; in every schema so far.
ENTRY_NAMED = "SELECT mac, liability_fen FROM entry WHERE partition = %b AND position = %b"


# ---------------------------------------------------------------- the hot path
LOCK = "SELECT number, token FROM partition WHERE number = any(%b) ORDER BY number FOR UPDATE"
# The same where the tokens are known: an error, which ends the whole flush, unless each is as it was.
HOLD = (
    "SELECT 1 / (count(*) = cardinality(%b))::int FROM (SELECT FROM unnest(%b, %b) k (number, token) "
    "JOIN partition p ON p.number = k.number AND p.token = k.token ORDER BY p.number FOR UPDATE OF p) held"
)
# A batch that was sent behind another one: the one before is committed, or this is a division by zero; then this one is the last.
FOLLOW = (
    "SELECT 1 / (coalesce(nullif(current_setting('cardcore.batch', true), ''), '0') = %b)::int, set_config('cardcore.batch', %b, false)"
)
FIND_KEYS = (
    f"SELECT {ENTRY_E} FROM unnest(%b, %b) k (client, client_key) "
    "CROSS JOIN LATERAL (SELECT * FROM entry WHERE client = k.client AND client_key = k.client_key AND partition = any(%b) OFFSET 0) e"
)
READ_CARDS = (
    f"SELECT {CARD_C}, a.state, a.changed_at FROM unnest(%b, %b) k (partition, number) "
    "JOIN card c ON c.partition = k.partition AND c.number = k.number "
    "JOIN account a ON a.partition = c.partition AND a.account_id = c.account_id"
)
INSERT_ENTRIES = f"INSERT INTO entry ({ENTRY}) SELECT {ENTRY} FROM unnest(%b::entry_row[])"
UPSERT_ACCOUNTS = (
    f"INSERT INTO account (partition, account_id, state, changed_at) SELECT * FROM unnest({_columns(4)}) "
    "ON CONFLICT (partition, account_id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at"
)
READ_ON = (
    f"SELECT {CARD_C}, a.state, a.changed_at FROM account a "
    "JOIN card c ON c.partition = a.partition AND c.account_id = a.account_id "
    "WHERE a.partition = %s AND a.account_id > %s ORDER BY a.account_id LIMIT %s"
)
TAKE_OVER = "UPDATE partition SET holder = %b, token = token + 1 WHERE number = any(%b)"
HEADS = (
    "SELECT p.number, e.position, e.mac, e.liability_fen, e.at_us FROM partition p LEFT JOIN LATERAL "
    "(SELECT position, mac, liability_fen, at_us FROM entry WHERE partition = p.number ORDER BY position DESC LIMIT 1) e ON true "
)
HEADS_OF = HEADS + "WHERE p.number = any(%b) ORDER BY p.number"
ENTRY_AT = f"SELECT {ENTRY} FROM entry WHERE partition = %s AND position = %s"
FOLLOWERS = f"SELECT {ENTRY} FROM entry WHERE partition = %s AND ref = %s AND ref <> 0 ORDER BY position"
JOURNAL = f"SELECT {ENTRY} FROM entry WHERE partition = %s AND position > %s AND position <= %s ORDER BY position LIMIT %s"
READ_ACCOUNTS = (
    f"SELECT DISTINCT ON (a.account_id) {CARD_C}, a.state, a.changed_at FROM unnest(%b, %b) k (partition, account_id) "
    "JOIN account a ON a.partition = k.partition AND a.account_id = k.account_id "
    "JOIN card c ON c.partition = a.partition AND c.account_id = a.account_id "
    "ORDER BY a.account_id, c.state IN ('swapped', 'destroyed'), c.changed_at DESC, c.number"
)
HOT = {
    "lock": LOCK, "follow": FOLLOW, "hold": HOLD, "find_keys": FIND_KEYS, "read_cards": READ_CARDS,
    "insert_entries": INSERT_ENTRIES, "upsert_accounts": UPSERT_ACCOUNTS,
    "take_over": TAKE_OVER, "heads_of": HEADS_OF, "entry_at": ENTRY_AT, "followers": FOLLOWERS, "read_accounts": READ_ACCOUNTS,
    "journal": JOURNAL, "read_on": READ_ON,
}  # fmt: skip

# ---------------------------------------------------------------- the rest
HEADS_ALL = HEADS + "ORDER BY p.number"
FIND_KEYS_EVERYWHERE = (
    f"SELECT {ENTRY_E} FROM unnest(%b, %b) k (client, client_key) "
    "CROSS JOIN LATERAL (SELECT * FROM entry WHERE client = k.client AND client_key = k.client_key OFFSET 0) e"
)
UPSERT_CARDS = (
    f"INSERT INTO card (partition, {CARD}) SELECT * FROM unnest({_columns(13)}) ON CONFLICT (partition, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in CARD.split(", ")[1:])
)
UPSERT_MEDIA = (
    f"INSERT INTO medium (partition, {MEDIUM}) SELECT * FROM unnest({_columns(13)}) ON CONFLICT (partition, medium) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in MEDIUM.split(", ")[1:])
)
READ_MEDIA = f"SELECT {MEDIUM} FROM medium WHERE medium = any(%b)"
_CHIP = "(m.medium LIKE 'pboc:%' OR m.medium LIKE 'desfire:%')"
BLOCKED = (
    "SELECT m.medium, c.state, c.state_from FROM card c "
    "JOIN medium m ON m.partition = c.partition AND m.account_id = c.account_id AND m.card = c.number "
    f"WHERE c.state NOT IN ('active', 'stock', 'issued') AND {_CHIP} "
    "UNION ALL SELECT m.medium, m.state, 0 FROM medium m JOIN card c ON c.partition = m.partition AND c.number = m.card "
    f"WHERE m.state <> 'active' AND c.state IN ('active', 'stock', 'issued') AND {_CHIP}"
)
MEDIA_OF = f"SELECT {MEDIUM} FROM medium WHERE partition = %s AND account_id = %s ORDER BY medium"
IN_FLIGHT = f"SELECT {MEDIUM} FROM medium WHERE in_flight > greatest(0, %s) ORDER BY in_flight, partition LIMIT %s"
MEDIA = f"SELECT {MEDIUM} FROM medium ORDER BY medium"
UPSERT_DOCUMENTS = (
    f"INSERT INTO document (partition, kind, id, body) SELECT 0, * FROM unnest({_columns(3)}) "
    "ON CONFLICT (partition, kind, id) DO UPDATE SET body = excluded.body"
)
DELETE_DOCUMENTS = "DELETE FROM document d USING unnest(%b, %b) o (kind, id) WHERE d.partition = 0 AND d.kind = o.kind AND d.id = o.id"
INSERT_PARTITIONS = "INSERT INTO partition (number, genesis) SELECT * FROM unnest(%b, %b)"
PARTITIONS = "SELECT number, genesis FROM partition ORDER BY number"
LAST_ACCOUNT = "SELECT max(account_id) FROM account WHERE partition = %s"
ACCOUNT_CHANGED = "SELECT changed_at FROM account WHERE partition = %s AND account_id = %s"
DOCUMENTS = "SELECT kind, id, body FROM document ORDER BY kind, id"
DOCUMENTS_OF = "SELECT kind, id, body FROM document WHERE partition = 0 AND kind = %s ORDER BY id"
CARDS = f"SELECT {CARD} FROM card ORDER BY number, partition"
ACCOUNTS = "SELECT account_id, state, changed_at FROM account ORDER BY account_id"
_TABLES = {"entries": "entry", "cards": "card", "accounts": "account", "documents": "document", "media": "medium", "records": "record"}
COUNTS = {name: f"SELECT count(*) FROM {table}" for name, table in _TABLES.items()}
# By the owner, of a shop that was never finished.
DROP_ALL = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user LOOP
        EXECUTE format('DROP TABLE %I CASCADE', name);
    END LOOP;
    DROP FUNCTION IF EXISTS entry_append_only();
    DROP TYPE IF EXISTS entry_row;
END $$"""
DELETE_PROJECTIONS = tuple(f"DELETE FROM {table}" for table in ("clearing_record", "medium", "card", "account", "document"))

# What is not as the schema declares it; each must find nothing.
CHECKS = {
    "table record_key: not indexed as the record says": STRAYS,
    "table entry: a partition is not known": "SELECT DISTINCT partition FROM entry EXCEPT SELECT number FROM partition",
    "an index or constraint is not valid": (
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND NOT (i.indisvalid AND i.indisready) "
        "UNION ALL SELECT conname::text FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace "
        "WHERE n.nspname = current_schema() AND NOT k.convalidated"
    ),
    "the journal's guards are off": (
        "SELECT 'entry' WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'entry'::regclass AND tgname = 'entry_append_only' "
        "AND tgenabled = 'O') OR NOT (SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = 'entry'::regclass) "
        "OR NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = 'entry'::regclass AND polname = 'entry_sound' AND NOT polpermissive)"
    ),
    "a client key stands twice": (
        "SELECT client_key FROM entry GROUP BY client, client_key HAVING count(*) > 1 LIMIT 1"
    ),
    "table card: no account": (
        "SELECT number FROM card c WHERE NOT EXISTS "
        "(SELECT FROM account a WHERE a.partition = c.partition AND a.account_id = c.account_id) LIMIT 1"
    ),
}
