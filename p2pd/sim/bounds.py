"""Every bound of `p2pd.limits` that a running node could exceed, measured against what the node really has.

Knows the engine's parts by name: a part that is renamed fails here, in the tests of the simulator, and nowhere else.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from p2pd import limits
from p2pd.engine import Engine
from p2pd.sim.resident import Resident
from p2pd.store import ContactState, UserStore

Measure = tuple[str, int, int]
"""What, how much of it there is, and the most there may be."""


def exceeded_in_memory(engine: Engine) -> list[str]:
    """What of an engine is larger than it may be, in words; cheap enough for every turn."""
    return _too_large(chain(_of_network(engine), _of_look_ups(engine), _of_relaying(engine), _of_chat(engine)))


def exceeded_in_stores(resident: Resident) -> list[str]:
    """The same of what the node keeps."""
    return _too_large(chain(_of_records(resident), () if resident.settings.storage_only else _of_store(resident.store)))


def _too_large(measures: Iterable[Measure]) -> list[str]:
    return [f"{what}: {size}, and {most} is the most" for what, size, most in measures if size > most]


def _of_network(engine: Engine) -> Iterator[Measure]:
    dht = engine._dht
    for bucket in dht._table._buckets.buckets:
        yield "nodes of a bucket", len(bucket), limits.BUCKET_SIZE
        most = limits.BUCKET_SIZE * limits.REPLACEMENT_FACTOR
        yield "replacements of a bucket", len(bucket.replacement_nodes), most
    yield "look-ups that run", len(dht._searches._active), limits.LOOKUPS_ACTIVE
    yield "look-ups that wait", dht._searches.waiting, limits.LOOKUPS_OPEN
    yield "datagram requests", len(dht._rpc._open), limits.RPCS_OPEN
    yield "requests over QUIC", len(dht._exchanges._open), limits.EXCHANGES_OPEN
    yield "hints", len(dht._joining._hints), limits.HINTS
    yield "listeners", dht._listeners.count, limits.LISTENERS
    yield "keys listened at", len(dht._listens._ears), limits.LISTENS
    yield "reasons of rejections", len(engine.counts), limits.REASONS
    yield "links", len(engine._ways.links._links), limits.LINKS + limits.LINKS_UNPROVEN


def _of_look_ups(engine: Engine) -> Iterator[Measure]:
    at_once = max(limits.LOOKUP_MERGED_PARALLEL, engine._dht._settings.get_width)  # a set's holders are asked together
    for search in engine._dht._searches._active:
        yield "questions of a look-up", search.lookup.messages, limits.LOOKUP_MESSAGES
        yield "questions under way in a look-up", search.lookup.in_flight, at_once
        yield "nodes that a look-up knows", len(search.lookup._candidates), limits.LOOKUP_CANDIDATES


def _of_relaying(engine: Engine) -> Iterator[Measure]:
    ways = engine._ways
    yield "links of a relay", len(ways.relaying._guests), limits.RELAY_LINKS
    for guest in ways.relaying._guests.values():
        yield "channels of a relay's link", len(guest.channels), limits.RELAY_CHANNELS
    yield "relays waited at", len(ways.relays.stations), limits.RELAYS_WAITED_AT


def _of_chat(engine: Engine) -> Iterator[Measure]:
    for held in engine._inbox._held.values():
        yield "envelopes held", len(held), limits.HELD_ENVELOPES
    yield "mailboxes being read", engine._mailroom._reading, limits.MAILBOXES_READ
    yield "invited inboxes being read", engine._invites._reading, limits.INVITES_READ
    yield "ratchets in memory", len(engine._sessions._ratchets), limits.RATCHETS_CACHED
    yield from _of_deadlines(engine)


def _of_deadlines(engine: Engine) -> Iterator[Measure]:
    """Who is overlooked: something is due sooner than the engine wakes."""
    flights, reach, requests = engine._outbox._flights, engine._ways.reach, engine._requests
    for what, due_of, things, wakes in (
        ("flights that are overlooked", flights._due_of, flights._flights, flights.next_deadline()),
        ("attempts that are overlooked", reach._due_of, reach._attempts, reach.next_deadline()),
        ("requests that are overlooked", requests._due_of, requests._asking, requests.next_deadline()),
    ):
        yield what, sum((due := due_of(thing)) is not None and (wakes is None or due < wakes) for thing in things), 0


def _of_records(resident: Resident) -> Iterator[Measure]:
    store = resident.records
    yield "bytes of others' records", store.usage()[1], resident.settings.dht.quota_bytes
    for key in store.keys_held():
        rows = store.held(key)
        items = [row for row in rows if not row.tombstone]
        yield "items of a set", len(items), limits.SET_ITEMS
        yield "bytes of a set", sum(len(row.data) for row in items), limits.SET_BYTES
        yield "tombstones of a set", len(rows) - len(items), 2 * limits.SET_ITEMS
    most = limits.NODES_KEPT + limits.NODES_FIRST_KEPT
    yield "nodes remembered", len(store.known_nodes()), most


def _of_store(store: UserStore) -> Iterator[Measure]:
    contacts = store.contacts()
    yield "contacts", sum(contact.state is not ContactState.REQUESTED for contact in contacts), limits.CONTACTS
    yield "contact requests", sum(c.state is ContactState.REQUESTED for c in contacts), limits.REQUESTS_KEPT
    for contact in contacts:
        counters, sessions = store.counters(contact.identity), store.sessions(contact.identity)
        live = sum(bool(session.ratchet) for session in sessions)
        yield "sessions of a contact", live, limits.SESSIONS_PER_CONTACT
        yield "retired sessions of a contact", len(sessions) - live, limits.SESSIONS_RETIRED
        yield "numbers received ahead", len(counters.received_above), limits.UNACKNOWLEDGED
        yield "marks of items", len(counters.marks), limits.ITEMS_MARKED
        yield "outbox of a contact", store.outbox_count(contact.identity), limits.OUTBOX_ITEMS
        yield "bytes of unfinished texts", store.parts_bytes(contact.identity), limits.PART_BYTES_KEPT
        yield "generations of a pair secret", len(contact.pair_secrets), limits.PAIR_GENERATIONS
        for session in sessions:
            yield "bytes of a ratchet", len(session.ratchet), limits.RATCHET_STATE_BYTES
        for message in store.newest_messages(contact.identity, 4):
            yield "steps of a message", len(store.steps(message)), limits.STEPS_FIRST + limits.STEPS_NEWEST
