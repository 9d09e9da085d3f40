"""The tables of `user.db`, step by step; a step that has shipped is never changed, a new one is added after it.

Clear, so that disk encryption is what hides them: message ids, clocks and times, sizes, counts, event types, names of
single values.  Keyed hashes: which contact a row is of, names of consumers, ids of calls.  Sealed: everything else;
texts, names, keys and ratchets always.
"""

from p2pd.storage.database import Schema

_FIRST = (
    "CREATE TABLE single_values (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE contacts (contact BLOB PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TABLE counters (contact BLOB PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TABLE sessions (contact BLOB, session BLOB, sealed BLOB NOT NULL, PRIMARY KEY (contact, session))",
    "CREATE TABLE prekeys (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    """CREATE TABLE outbox (
        contact BLOB, sequence INTEGER, sealed BLOB NOT NULL, PRIMARY KEY (contact, sequence)) WITHOUT ROWID""",
    """CREATE TABLE messages (
        message BLOB, contact BLOB,   -- a keyed hash, here and everywhere
        clock INTEGER NOT NULL,
        place INTEGER NOT NULL,   -- of its sender: the one of the two with the smaller key has 0
        at_ms INTEGER NOT NULL,   -- when it was written or came here
        unread INTEGER NOT NULL,
        request BLOB,             -- keyed hash of the caller's id
        sealed BLOB NOT NULL,
        PRIMARY KEY (message, contact))""",
    "CREATE INDEX messages_in_order ON messages (contact, clock, place, message, at_ms)",
    "CREATE INDEX messages_unread ON messages (contact) WHERE unread",
    "CREATE INDEX messages_by_request ON messages (request) WHERE request IS NOT NULL",
    # A count that need not be counted: positions near the end of a long conversation are the common ones.
    "CREATE TABLE conversations (contact BLOB PRIMARY KEY, messages INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
        INSERT INTO conversations VALUES (NEW.contact, 1)
        ON CONFLICT (contact) DO UPDATE SET messages = messages + 1; END""",
    """CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
        UPDATE conversations SET messages = messages - 1 WHERE contact = OLD.contact; END""",
    """CREATE TABLE parts (
        contact BLOB, message BLOB, part INTEGER, size_bytes INTEGER NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (contact, message, part))""",
    "CREATE TABLE events (cursor INTEGER PRIMARY KEY, type TEXT NOT NULL, sealed BLOB NOT NULL)",
    "CREATE TABLE consumers (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID",  # keyed hash of the name
)

_SECOND = (
    # What has an end is found by it, and so are its events.
    "ALTER TABLE messages ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX messages_by_expiry ON messages (expires_ms) WHERE expires_ms",
    "ALTER TABLE parts ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX parts_by_expiry ON parts (expires_ms) WHERE expires_ms",
    "ALTER TABLE events ADD COLUMN message BLOB",  # of those messages only
    "CREATE INDEX events_by_message ON events (message) WHERE message IS NOT NULL",
)

_INVITES = ("CREATE TABLE invites (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",)

USER_SCHEMA = Schema(
    application_id=0x70327075,  # "p2pu"
    migrations=(_FIRST, _SECOND, _INVITES),
    damaged_hint="stop p2pd, keep a copy of the home, and run: p2pctl doctor; it finds the rows that cannot be read",
)
