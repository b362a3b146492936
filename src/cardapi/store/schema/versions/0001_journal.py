"""The journal, its partitions and its projections.

`entry.id` is partition << 48 | position: rows are appended in order, and the key needs no index of its own (measured
10 % faster per single commit than a WITHOUT ROWID table of the same columns). The journal refuses UPDATE and DELETE (M9).
"""

from cardapi.store.schema import run

revision = "0001"
down_revision = None

SQLITE = (
    """CREATE TABLE partition (
        number INTEGER PRIMARY KEY CHECK (number BETWEEN 0 AND 255),
        genesis BLOB NOT NULL CHECK (length(genesis) = 16)
    ) STRICT""",
    """CREATE TABLE entry (
        id INTEGER PRIMARY KEY CHECK (id & 0xffffffffffff > 0),
        at_us INTEGER NOT NULL CHECK (at_us > 0),
        verb TEXT NOT NULL CHECK (verb <> ''),
        outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'refused')),
        code TEXT NOT NULL CHECK ((code = '') = (outcome = 'applied')),
        account_id INTEGER NOT NULL CHECK (account_id >= 0),
        card TEXT NOT NULL,
        client TEXT NOT NULL CHECK (client <> ''),
        client_key TEXT NOT NULL CHECK (length(client_key) BETWEEN 1 AND 255),
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
        unit TEXT NOT NULL,
        terminal TEXT NOT NULL,
        operator TEXT NOT NULL,
        approver TEXT NOT NULL,
        reason TEXT NOT NULL,
        ref INTEGER NOT NULL CHECK (ref >= 0),
        prior INTEGER NOT NULL CHECK (prior BETWEEN 0 AND (id & 0xffffffffffff) - 1),
        further BLOB NOT NULL CHECK (length(further) % 16 = 0),
        liability_fen INTEGER NOT NULL CHECK (liability_fen >= 0),
        body BLOB NOT NULL,
        mac BLOB NOT NULL CHECK (length(mac) = 32)
    ) STRICT""",
    "CREATE UNIQUE INDEX entry_client_key ON entry (client, client_key)",
    "CREATE INDEX entry_ref ON entry (ref) WHERE ref <> 0",
    "CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    "CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    """CREATE TABLE account (
        account_id INTEGER PRIMARY KEY CHECK (account_id > 0),
        state BLOB NOT NULL CHECK (length(state) > 0),
        changed_at INTEGER NOT NULL CHECK (changed_at > 0)
    ) STRICT""",
    """CREATE TABLE card (
        number TEXT PRIMARY KEY CHECK (length(number) BETWEEN 8 AND 32),
        account_id INTEGER NOT NULL REFERENCES account (account_id) DEFERRABLE INITIALLY DEFERRED,
        programme TEXT NOT NULL,
        state TEXT NOT NULL CHECK (
            state IN ('stock', 'issued', 'active', 'lost', 'frozen', 'swapped', 'cancelled', 'expired', 'destroyed')),
        state_from INTEGER NOT NULL CHECK (state_from >= 0),
        unit TEXT NOT NULL,
        kind TEXT NOT NULL,
        valid_until INTEGER NOT NULL CHECK (valid_until >= 0),
        flags INTEGER NOT NULL CHECK (flags >= 0),
        pin_value BLOB NOT NULL CHECK (length(pin_value) IN (0, 48)),
        pin_tries INTEGER NOT NULL CHECK (pin_tries BETWEEN 0 AND 255),
        changed_at INTEGER NOT NULL CHECK (changed_at > 0)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE document (
        kind TEXT NOT NULL CHECK (kind <> ''),
        id TEXT NOT NULL CHECK (id <> ''),
        body BLOB NOT NULL CHECK (length(body) > 0),
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID""",
)


# Every key starts with the partition, so that the tables can be distributed by it and stay co-located (docs/scaling.md).
# Text that is compared or sorted is compared by its bytes, as SQLite does. `partition` also says which process wrote last.
POSTGRES = (
    """CREATE TABLE partition (
        number integer PRIMARY KEY CHECK (number BETWEEN 0 AND 255),
        genesis bytea NOT NULL CHECK (length(genesis) = 16),
        holder text NOT NULL DEFAULT '',
        token bigint NOT NULL DEFAULT 0 CHECK (token >= 0)
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE entry (
        partition integer NOT NULL CHECK (partition BETWEEN 0 AND 255),
        position bigint NOT NULL CHECK (position > 0),
        at_us bigint NOT NULL CHECK (at_us > 0),
        verb text NOT NULL CHECK (verb <> ''),
        outcome text NOT NULL CHECK (outcome IN ('applied', 'refused')),
        code text NOT NULL CHECK ((code = '') = (outcome = 'applied')),
        account_id bigint NOT NULL CHECK (account_id >= 0),
        card text COLLATE "C" NOT NULL,
        client text COLLATE "C" NOT NULL CHECK (client <> ''),
        client_key text COLLATE "C" NOT NULL CHECK (length(client_key) BETWEEN 1 AND 255),
        fingerprint bytea NOT NULL CHECK (length(fingerprint) = 16),
        unit text NOT NULL,
        terminal text NOT NULL,
        operator text NOT NULL,
        approver text NOT NULL,
        reason text NOT NULL,
        ref bigint NOT NULL CHECK (ref >= 0),
        prior bigint NOT NULL CHECK (prior BETWEEN 0 AND position - 1),
        further bytea NOT NULL CHECK (length(further) % 16 = 0),
        liability_fen bigint NOT NULL CHECK (liability_fen >= 0),
        body bytea NOT NULL,
        mac bytea NOT NULL CHECK (length(mac) = 32),
        PRIMARY KEY (partition, position)
    )""",
    "ALTER TABLE entry ALTER COLUMN body SET STORAGE MAIN",  # bodies are packed already; keep them beside their row
    # One index over all partitions: a client key has one effect in the whole shop, not one in each partition (O1).
    "CREATE UNIQUE INDEX entry_client_key ON entry (client, client_key)",
    "CREATE INDEX entry_ref ON entry (partition, ref) WHERE ref <> 0",
    """CREATE FUNCTION entry_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
    """CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
        FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()""",
    # Forced: the owner of the table is held to it too, and there is no policy for UPDATE and DELETE (M9).
    "ALTER TABLE entry ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE entry FORCE ROW LEVEL SECURITY",
    "CREATE POLICY entry_read ON entry FOR SELECT USING (true)",
    "CREATE POLICY entry_append ON entry FOR INSERT WITH CHECK (true)",
    """CREATE TABLE account (
        partition integer NOT NULL,
        account_id bigint NOT NULL CHECK (account_id > 0 AND account_id >> 40 = partition),
        state bytea NOT NULL CHECK (length(state) > 0),
        changed_at bigint NOT NULL CHECK (changed_at > 0),
        PRIMARY KEY (partition, account_id)
    ) WITH (fillfactor = 70)""",
    "ALTER TABLE account ALTER COLUMN state SET STORAGE MAIN",
    """CREATE TABLE card (
        partition integer NOT NULL,
        number text COLLATE "C" NOT NULL CHECK (length(number) BETWEEN 8 AND 32),
        account_id bigint NOT NULL,
        programme text NOT NULL,
        state text NOT NULL CHECK (
            state IN ('stock', 'issued', 'active', 'lost', 'frozen', 'swapped', 'cancelled', 'expired', 'destroyed')),
        state_from bigint NOT NULL CHECK (state_from >= 0),
        unit text NOT NULL,
        kind text NOT NULL,
        valid_until bigint NOT NULL CHECK (valid_until >= 0),
        flags bigint NOT NULL CHECK (flags >= 0),
        pin_value bytea NOT NULL CHECK (length(pin_value) IN (0, 48)),
        pin_tries integer NOT NULL CHECK (pin_tries BETWEEN 0 AND 255),
        changed_at bigint NOT NULL CHECK (changed_at > 0),
        PRIMARY KEY (partition, number),
        FOREIGN KEY (partition, account_id) REFERENCES account (partition, account_id) DEFERRABLE INITIALLY DEFERRED
    )""",
    """CREATE TABLE document (
        partition integer NOT NULL DEFAULT 0 CHECK (partition = 0),
        kind text COLLATE "C" NOT NULL CHECK (kind <> ''),
        id text COLLATE "C" NOT NULL CHECK (id <> ''),
        body bytea NOT NULL CHECK (length(body) > 0),
        PRIMARY KEY (partition, kind, id)
    )""",
)


def upgrade() -> None:
    run(SQLITE, POSTGRES)
