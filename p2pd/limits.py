"""Every number of the protocol and every bound, once, with its unit and its reason.

Rules: derived, not repeated; a name says its unit last; what a user may change has its default here and its key in
`settings.py`.  Requirement numbers (R…) and sections refer to `docs/protocol.md` and `docs/threat-model.md`.
"""

KIB = 1024
MIB = 1024 * KIB
MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400
DAY_MS = DAY_S * 1000

# --- datagrams -------------------------------------------------------------------------------------------------------

DATAGRAM_BYTES = 1_152
"""No datagram of the DHT is larger: with the headers of IPv6 and UDP, 40 and 8 bytes, an IP packet of 1,200, so that it
passes also where packets of QUIC, which must be of 1,228 or 1,248, do not."""
HELLO_BYTES = DATAGRAM_BYTES
"""A hello is padded to this, so that its answer is always smaller (R5)."""
FRAGMENT_BYTES = 1_000
"""A piece of a question or answer in fragments: fits a datagram with all round it."""
FRAGMENTS = 64
FRAGMENTED_BYTES = FRAGMENTS * FRAGMENT_BYTES
"""What passes in fragments; larger questions are asked in several, so that all pass where QUIC does not."""
TOKEN_BYTES = 16
TOKEN_LIFE_S = HOUR_S
"""How long an address token proves an address; the secret behind it rotates at half of that."""
RPC_ID_BYTES = 8
ERROR_TEXT_BYTES = 200

# --- keys and ids ----------------------------------------------------------------------------------------------------

KEY_BYTES = 32
SIGNATURE_BYTES = 64
ITEM_ID_BYTES = 16
MESSAGE_ID_BYTES = 16
SESSION_ID_BYTES = 16
NONCE_BYTES = 24
BOX_OVERHEAD_BYTES = 16
STAMP_BYTES = 8
NODE_PUZZLE_BITS = 12
"""Leading zero bits of Argon2id(1 MiB) over a public node key: 2.7 s once, 0.65 ms to check (R6)."""

# --- the table and look-ups ------------------------------------------------------------------------------------------

BUCKET_SIZE = 20
"""Kademlia's k."""
LOOKUP_PARALLEL = 4
"""Requests in flight for one path of a look-up, Kademlia's alpha; 3 in the paper, one more hides one dead node."""
GET_PARALLEL = 3
"""Requests in flight for a get: the first wave nearly always meets a holder, and each one more costs both ends; a dead
one frees its slot after `REQUEST_SLOW_MIN_S` or a little more than a usual round trip."""
LOOKUP_PATHS = 8
"""Disjoint paths (R8)."""
LOOKUP_PATH_STEPS = 6
LOOKUP_CONVERGE = 40
"""A look-up for storing has converged when the nearest so many known have answered or failed."""
LOOKUP_MESSAGES = 300
"""A look-up sends no more requests than this; the worst simulated hostile case needs 100."""
LOOKUP_S = 10.0
"""A look-up ends after this long with what it has."""
LOOKUPS_OPEN = 1_024
"""Look-ups waiting or under way; further ones fail at once."""
LOOKUPS_BUSY = LOOKUPS_OPEN // 2
"""So many waiting, what goes to mailboxes is held back: the rest is for what people wait for, and for reading.
No more than these wait of those for which nobody waits."""
LOOKUPS_BUSY_S = 1.0
"""For so long, and then it is seen whether they still wait."""
REJOIN_GAP_S = MINUTE_S
"""Who lost every node joins anew at most so often: all mailboxes are read then, and a single node can come and go."""
LOOKUPS_ACTIVE = 64
LOOKUPS_LEISURELY = LOOKUPS_ACTIVE // 2
"""Of these, those for which nobody waits."""
REQUEST_SLOW_MIN_S = 0.01
"""A question unanswered for longer than 19 of 20 lately (never before this: it is what a busy machine's own turns
take) is slow: another node is asked beside it."""
RECEIPT_SLOW_MIN_S = 3 * REQUEST_SLOW_MIN_S
"""The same for a question whose answer waits for a disk and for the commit before (`RECEIPTS_GAP_S`)."""
REQUEST_SLOW_START_S = 0.25
REQUEST_MARGIN_S = 0.01
"""What a time-out exceeds the usual round trip by at least, and half of it what is slow (RFC 6298's G): where no two
differ, a node that is busy for a moment would be asked twice."""
REQUEST_TIMEOUT_MIN_S = 0.05
"""A question unanswered for so long is repeated."""
REQUEST_TIMEOUT_START_S = 0.5
"""Both before any round trip has been measured."""
REQUEST_TIMEOUT_MAX_S = 2.0
SILENCES = 4
SILENCES_MAX = 6 * SILENCES
"""Questions in a row without any answer after which time-outs double, and how many are counted; among living nodes,
even where a third of them has just died, so many in a row are rare."""
REPLICAS = 20
"""Copies of a record (c4)."""
REPLICAS_MAX = 60
"""The most that may be set: a put's ceiling (R9)."""
STORED_RECEIPTS = 8
"""`stored` means receipts from at least so many live nodes, or from all where there are fewer."""
STORED_RECEIPTS_MIN = 2
CONTACTS_PER_REPLY = 20

# --- records ---------------------------------------------------------------------------------------------------------

RECORD_LIFE_MAX_S = 15 * DAY_S
"""No record may expire later than this from now (R2)."""
CLOCK_SKEW_S = 10 * MINUTE_S
CLOCK_KEPT_AHEAD_MS = 1_000
"""So far beyond the clock of what was said the stored one runs, so that it is written once a second at most."""
CLOCK_WRONG_MS = MINUTE_S * 1000
"""Our wall clock is corrected for days, expiries and messages where most peers' differs by so much or more."""
BODY_INLINE_BYTES = 832
"""Bodies up to this travel in the datagram, larger ones by a request over QUIC."""
BODY_BYTES = 16 * KIB
RECORD_OVERHEAD_BYTES = 256
"""What a record adds to its body, rounded up; 175 in fact."""
RECORD_BYTES = BODY_BYTES + RECORD_OVERHEAD_BYTES
SIZE_CLASSES = (256, BODY_INLINE_BYTES, 4 * KIB, BODY_BYTES)
"""The only sizes a padded body has (R35)."""
SET_ITEMS = 256
"""Items under one record key, and tombstones of what is not held; a mailbox goes on at the next index."""
SET_BYTES = MIB
SET_RECORDS = 8 * SET_ITEMS
"""The same with those that came after items and took their places: so many that nothing more is taken under the key,
and that reading all of them takes 5 ms.  To shut a priced public inbox by that, while its owner ends what comes, takes
as long as to shut it against who pays most (`REQUEST_BITS`); an inbox that so many ring in a day is swept as well."""
OPEN_SET_ITEMS = SET_ITEMS // 2
OPEN_SET_BYTES = SET_BYTES // 2
"""The share of an open set's stamped items, and that of those without a stamp: so junk with a stamp of a bit ends
nothing in an inbox that asks no price, and what is free does not fill one that does."""
OPEN_BODY_BYTES = SIZE_CLASSES[2]
"""What anybody may add is at most a contact request: the larger its items, the cheaper an inbox is filled."""
RING_BYTES = 16
RECORDS_PER_PACKET = 16
"""Tombstones and small records that one datagram may carry."""
RECORDS_PER_REQUEST = 512
REQUEST_BYTES = 2 * MIB
"""A request over QUIC: as large as one whole set, with room for its framing."""
RESPONSE_BYTES = 2 * MIB

# --- people ----------------------------------------------------------------------------------------------------------

LETTERS = 1_024
"""z-base-32 letters read at once: more than any address or link has, and few enough to be read in no time."""
NAME_CHARS = 50
"""A petname or claimed name, as Briar's (R44)."""
PROFILE_LIFE_S = 15 * DAY_S
PROFILE_DAYS_READ = 15
PROFILES_READ = 16
"""People whose profiles are looked for at once, on all these days where need be: with `MAILBOXES_READ` fewer look-ups
than `LOOKUPS_BUSY`, so that asking a thousand people keeps nothing else waiting."""
"""Today's key and the 14 before it."""
PRESENCE_LIFE_S = 2 * HOUR_S
PRESENCE_RENEW_S = HOUR_S
PRESENCE_GAP_S = 2
"""Between two presences where our endpoints change: at a start they become known one after another."""
DEVICES = 2
"""Devices in one profile; one works today."""
ENDPOINTS = 8
RELAYS = 3
RELAY_ENDPOINTS = 2
"""Endpoints of one relay: one of each family."""
PREKEY_ROTATE_S = 7 * DAY_S
PREKEY_KEEP_S = 70 * DAY_S
"""Private halves live so long after their last publication: longer than any mail can be under way."""
PREKEYS = PREKEY_KEEP_S // PREKEY_ROTATE_S + 2
"""Kept at most, whatever the clock does: with one a week, no others are young enough."""
PREKEY_IDS_AHEAD_BYTES = 3
"""A home that came back from an old copy goes on with an id so much later, at random: one of 16 million, so that two
that came back from the same copy differ, and a u32 holds hundreds of such homes."""
CONTACTS = 5_000
INVITES = 64
"""Open invites: each is listened for at one address, near midnight at two; so all of them take half of `LISTENS`."""
INVITE_PERSONS = 32
"""Whom an invite lets in that is not for one person alone: who passes it on, or floods its inbox, brings no more."""
INVITE_SECRET_BYTES = 16
"""As strong as the curves; a longer one only makes a longer link."""
INVITE_LIFE_S = 7 * DAY_S
INVITE_LIFE_MAX_S = 60 * DAY_S
"""Its one-time key lies about so long: no longer than other prekeys."""
INVITES_READ = 16
"""Invited inboxes looked up at once, beside `MAILBOXES_READ`."""

# --- messages --------------------------------------------------------------------------------------------------------

TEXT_BYTES = 256 * KIB
"""A text; beyond that, a file."""
REQUEST_TEXT_BYTES = KIB
"""The text of a contact request to the public inbox."""
PART_BYTES = 14 * KIB
"""The text of one part: with everything round it, a first-contact header too, it fits the largest size class."""
PARTS = -(-TEXT_BYTES // PART_BYTES)
PARENTS = 3
READ_MESSAGES = 64
"""Ids in one item that says what was read."""
READ_AT_ONCE = 16 * READ_MESSAGES
"""Messages that one call marks as read, the newest of those before it: some 0.1 s of a turn; the next takes others."""
MAIL_LIFE_S = 14 * DAY_S
OUTBOX_LIFE_S = 30 * DAY_S
"""After this the sender is told `expired` (R33)."""
TEXT_SHOWN_MIN_S = 10
"""A text that has an end stays with its reader for so long at least: one of the two clocks may be wrong by up to
`CLOCK_WRONG_MS`, or by more where nobody corrects it, and its writer is told that it was delivered."""
MAIL_REISSUE_S = 12 * DAY_S
"""Mail not acknowledged after this is put again under the day's address."""
UNACKNOWLEDGED = 512
"""Sealed items under way to one device; the rest wait unsealed."""
ACK_BITMAP_BYTES = UNACKNOWLEDGED // 8
MAILBOX_AFTER_S = 3.0
"""A message with no link after so long is put into the mailbox too; so is one that a link leaves unacknowledged, if
nothing tells how long acknowledgements take there."""
MAILBOX_AFTER_MIN_S = 0.3
"""...or after four times as long as they usually take, but never sooner than this: a put that was not needed costs
eight stores and as many tombstones, and a disk may stall for a moment."""
HOLD_S = 5.0
"""How long what came too early waits for what is missing before it (R31)."""
HELD_ENVELOPES = 512
"""Envelopes kept in memory for one contact because they came too early."""
RETRY_S = (30, 120, 600, HOUR_S, 12 * HOUR_S)
UNREACHED_S = (1, 2, 5, 12)
"""Before these, where no storer at all answered: a line that fails for a moment must not cost half a minute."""
SWEEP_S = 6 * HOUR_S
SWEEP_SETTLED_S = MINUTE_S
"""After a start all is read once more: the first look-ups knew few nodes, and liars among them hide what is there."""
SWEEP_AGAIN_S = (HOLD_S + 1, MINUTE_S, 10 * MINUTE_S)
"""Waits before a contact's mailboxes are read again that were not read whole: no holder answered, or none of those with
more gave it."""
SWEEP_DAYS = 15
MAILBOX_INDEX_ITEMS = 192
"""Items put at one index of a mailbox before its writer goes on to the next; readers look one further from here."""
MAILBOX_INDEXES = 4
MAILBOXES_READ = 128
"""Mailboxes looked up at once: a part of `LOOKUPS_OPEN`, so that a long absence starves nothing else.  Of those that
are read only because it is time no more begin while half as many are."""
PAIR_GENERATIONS = 12
"""Generations of a pair secret that are kept: more than `PAIR_READ_S` holds at one a week, so a flood costs nothing."""
RING_READS = 4
"""Readings of one mailbox for rings that are under way at once; what rings meanwhile brings one more after them."""
RING_GAPS_S = (2, 10, 60, 600, HOUR_S, 6 * HOUR_S)
"""Gaps between rings for a reader who does not acknowledge."""
HISTORY_DEFAULT = 50
HISTORY_MAX = 10_000
EVENTS_KEPT = 100_000
REQUESTS_KEPT = 256
"""Contact requests from strangers (R47)."""
SESSIONS_PER_CONTACT = 4
SESSION_KEEP_S = 45 * DAY_S

# --- links -----------------------------------------------------------------------------------------------------------

LINK_FRAME_BYTES = 24 * KIB
"""A frame carries one envelope, at most the largest size class and its framing."""
RELAYED_FRAME_BYTES = LINK_FRAME_BYTES - 64
"""A frame that a relay carries, with room for what is written round it."""
LINK_WINDOW = 64
"""Envelopes sent on a link before one of them must be acknowledged."""
ENVELOPE_BYTES = BODY_BYTES - NONCE_BYTES - BOX_OVERHEAD_BYTES - 4
"""An envelope fits the largest size class with its seal and length."""
EFFECTS = 65_536
"""Effects of one turn; more is a bug."""

# --- relays and punching ---------------------------------------------------------------------------------------------

RELAY_LINKS = 128
"""Links on which a node carries others' frames; further ones are closed."""
RELAY_CHANNELS = 64
"""Channels of one such link: those who talk to one person at once, as far as one relay carries them."""
RELAY_CALLS_PER_S = 2
RELAY_CALLS_BURST = 10
RELAY_BYTES_PER_S = 64 * KIB
RELAY_BYTES_BURST = 4 * MIB
"""What a relay takes from one link for others: text always, with the longest one at once; no stream of files."""
RELAY_MESSAGES_PER_S = RELAY_BYTES_PER_S // SIZE_CLASSES[0]
RELAY_MESSAGES_BURST = RELAY_BYTES_BURST // SIZE_CLASSES[0]
"""Messages of any kind that a relay hears from one link: as many as those bytes fill in the smallest size, since each
costs its work however small it is."""
RELAY_CALLED_PER_S = 16
RELAY_CALLED_BURST = RELAY_CHANNELS
"""Callers that a node hears of from one relay, which may invent them; further ones are told that there is no room."""
RELAYED_WINDOW = 16
"""Envelopes sent over a relay before one of them must be acknowledged: half of what it keeps for a slow reader, where
all are of the largest size."""
RELAYS_WAITED_AT = 2
"""Relays at which a node waits: where one is killed the other is there already."""
RELAY_CHOICE_S = 1.0
"""A node that has just come chooses its relays when it has looked around, or so long after it has joined at the latest:
until then it knows few servers, which are the same for many who come."""
RELAY_AFTER_S = 0.2
"""A direct dial begins so much before the call by a relay: a round trip to most of a continent."""
DOUBT_AFTER_S = 3.0
"""A link younger than this is not doubted: slow lines would have it replaced again and again."""
RELAY_NEXT_S = 1.0
"""A relay that has brought no answer after this gets another beside it."""
RELAY_CHECK_S = MINUTE_S
RELAY_AVOIDED_S = 10 * MINUTE_S
"""A relay that refused or left us is not asked again for so long, as long as there are others."""
RELAY_GAPS_S = (0.5, 2, 10, 60)
"""Before a node waits at another relay, where those it asked were full or gone."""
RELAY_BLOCKED_S = 5 * MINUTE_S
"""The same where QUIC does not pass, so that no relay can be reached."""
RELAY_STEADY_S = 2 * RELAY_GAPS_S[-1]
"""A relay that stays so long is no sign of trouble when it goes: only then the gaps begin anew."""
PUNCH_ENDPOINTS = 6
"""Endpoints of the other that a round knocks at."""
KNOCKS_S = (0.0, 0.1, 0.3, 0.6, 1.0, 1.5)
"""When a round knocks: six small packets to each endpoint; a lost one costs a tenth of a second or a little more."""
PUNCH_ROUND_S = 2.5
PUNCH_WAIT_S = 0.25
PUNCH_WAITS = 4
"""A node that has just come asks so often, after so long, whether others have told it where they see it."""
PUNCH_GAPS_S = (0.0, 2.0, 10.0, MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S)
"""Before each round, as long as only a relay connects the two; the last goes on."""
TRIES_PER_ADDRESS = 4
"""Dials and rounds to one address in a minute, whatever others say where they are: nobody is hit through us."""
TRIES_REMEMBERED = 4_096
PORT_MIN = 1_024
"""Below it no contact's node is dialled outside private networks: services of the system are no nodes."""

# --- connections -----------------------------------------------------------------------------------------------------

INPUTS_PER_TURN = 64
"""Inputs that one turn of the driver commits together; also datagrams read from a socket at once."""
ARRIVALS_OF_FLOW = 8
"""Datagrams that one connection may have taken before others get their turn, some millisecond of bulk: with 16 a
message beside bulk takes three times as long, with 4 bulk is a sixth slower."""
ARRIVALS_OF_DIALLERS = 2
"""The same of first packets of strangers together, each of which may cost 1.6 ms."""
ARRIVALS_WAITING = 512
"""Datagrams of connections read from the sockets and not taken yet: two whole windows of bulk."""
ARRIVALS_OF_STRANGERS = 2_048
"""The same of those that are of no connection, the DHT's: what a busy server is sent in a second when it was not run.
Beyond it they are dropped, so that a flood does not fill the kernel's buffer."""
INPUTS_WAITING = 4_096
"""Inputs waiting for a turn; beyond it the newest datagrams are dropped."""
CALLS_PER_TURN = 64
"""Calls of the control API that share a turn, and so a commit."""
CALLS_WAITING = 1_024
"""Calls of the control API waiting for a turn; further ones are refused."""
SEND_WAITING = 1_024
"""Datagrams kept for one socket that the kernel would not take; QUIC repeats what is dropped beyond it."""
SOCKET_BUFFER_BYTES = 4 * MIB
"""Asked of the kernel for each direction of a socket; it may grant less."""
UDP_READ_BYTES = 2_048
"""Read of one datagram; a longer one is nothing of ours, and is cut and then refused."""
RECEIPTS_GAP_S = 0.01
"""At most one durable commit of the records in this time; the receipts in between share it."""
RECORDS_COMMIT_S = 0.1
"""Other people's records are committed at most this long after they came."""
REBUILDS = 3
REBUILD_WINDOW_S = MINUTE_S
"""So many unexpected exceptions within this time end the daemon."""
REBUILD_PAUSE_S = 1.0
REBUILD_PAUSE_MOST_S = 30.0
"""The engine's timer rests so long after a turn that the disk refused, first and at most: twice as long each time that
it refuses within `REBUILD_WINDOW_S` of the last rest, since an engine built anew joins anew, and dials its contacts."""
RECORDS_REST_S = MINUTE_S
"""Nothing is kept for others so long after the disk refused what was."""
STAMP_JOBS = 64
"""Proofs of work waiting for the worker; a further one fails at once."""

STREAM_WINDOW_BYTES = 256 * KIB
"""What a peer may send on a stream beyond what we have consumed (R20)."""
CONNECTION_WINDOW_BYTES = 512 * KIB
"""The same for all streams of a connection."""
UNREAD_BYTES = 64 * MIB
"""The same for all connections together, a quarter of the 256 MiB allowed: as much as 128 that use their windows up.
Beyond it those end that hold most, first of those that carry no link."""
HANDSHAKE_BYTES = 16 * KIB
"""What a peer may say in TLS at each of its three stages; ours say less than 1 KiB."""
STREAMS_PER_CONNECTION = 16
CONNECTIONS_UNAUTHENTICATED = 64
CONNECTIONS_AUTHENTICATED = 256
CONNECTIONS_OUTGOING = 256
CONNECTIONS_PER_SOURCE = 8
"""From one IP address; in a private network, of one node key."""
CROWD_CONNECTIONS = CONNECTIONS_UNAUTHENTICATED
"""So many that have ended are a crowd, whose memory is worth giving back."""
GIVE_BACK_S = 10.0
"""After the first of them: 20 ms of work for 125 MiB (measured), so 0.2 % of the time at worst."""
RETRY_HALF_OPEN = 32
RETRY_INITIALS_PER_S = 20
"""Beyond either, strangers must first echo a token from their address (R21): 0.02 ms of work instead of 1.6."""
QUIC_DATAGRAM_BYTES = 1_200
"""QUIC's datagrams: smaller first packets are no QUIC and could amplify, and larger ones pass not everywhere (RFC 9000
section 14)."""
AUTHENTICATE_S = 10.0
IDLE_S = 60.0
KEEPALIVE_S = 25.0
"""A link is pinged after this much silence: routers forget a UDP mapping after 30 s (RFC 4787 asks for 120)."""
UNANSWERED_S = 10.0
"""A link that answers nothing for this long after we sent something is closed."""
CHECK_LINK_S = 1.0
CHECK_ROUND_TRIPS = 4
"""A link in doubt that gives no sign of life for so long, and for so many of its round trips, is closed: the path has
gone, and two seconds are left to find another."""
FIRST_ROUND_TRIP_S = 0.05
"""Assumed until measured: a lost first packet is repeated after twice this (RFC 9002 section 6.2)."""
DIAL_ENDPOINTS = 4
"""Endpoints tried for one link."""
DIAL_STAGGER_S = 0.25
"""Between the attempts of one dial (RFC 8305 section 8)."""
DIAL_S = 5.0
DIALS = 64
"""Links being dialled; a further one fails at once."""
ACK_DELAY_S = 0.01
"""How long a QUIC packet alone waits for its acknowledgement, which may share a packet; at most 25 ms (RFC 9000)."""
ACK_SOON_S = 0.001
"""...and several packets; the time within which aioquic's clock counts."""
ACK_PACKETS = 16
"""So many QUIC packets are acknowledged at once."""
LINK_FRAMES_IN_HAND = 64
"""Frames of one link given to the core and not taken yet; the rest waits in the link's window."""
LINK_PREFIX_BYTES = 4
"""A frame's length, before it on the stream."""
LINK_TAKEN_STEP_BYTES = 32 * KIB
"""`on_link_taken` comes when a link's peer has taken so much more."""
RELAY_UNSENT_MAX_BYTES = 512 * KIB
"""The same bound as the next for a link that a relay carries others' frames on: 64 MiB where all `RELAY_LINKS` are
slow."""
RELAY_UNTAKEN_BYTES = RELAY_UNSENT_MAX_BYTES * 3 // 4
RELAY_SHARE_BYTES = KIB
"""Where one to whom a relay carries has not taken the former, a channel that has more than the latter on its way there
ends: it shall not cost them their link and all other channels.  The latter has room for a frame of the second size
class; that of `RELAY_CHANNELS`, and what the relay says itself, fit between the former and the end of the link."""
LINK_UNSENT_MAX_BYTES = 4 * MIB
"""A link whose peer leaves more than this unacknowledged is closed: more than `LINK_WINDOW` of the largest frames."""
EXCHANGE_S = 10.0
"""A request over QUIC, from its start to the last byte of its answer."""
EXCHANGES_WAITING = 1_024
"""Requests of ours under way; further ones fail at once."""
EXCHANGES_PER_CONNECTION = 8
"""Requests of one peer's connection that are under way at once."""
EXCHANGES_PER_S = 50
EXCHANGES_BURST = 100
"""Requests that one connection may make."""
EXCHANGES_UNHEARD = 3
"""Connections for requests that repeat their first packets while none was ever answered: where QUIC is blocked, each
says 8 KB in vain."""
EXCHANGE_MEMORY_BYTES = 64 * MIB
"""Requests of others, arriving or unanswered, and our answers unacknowledged; beyond it new ones are refused."""
POOL_IDLE_S = 2.0
"""A connection for requests is closed so long after its last one."""

# --- port mapping ----------------------------------------------------------------------------------------------------

GATEWAY_PORT = 5351
"""Where a gateway takes PCP and NAT-PMP (RFC 6887 section 19.1, RFC 6886 section 1.1)."""
GATEWAY_PACKET_BYTES = 1_100
"""No PCP packet is longer (RFC 6887 section 7)."""
GATEWAY_ASK_S = (0.25, 0.5, 1.0)
"""Waits for an answer, each after the question was sent again.  The RFCs go on for minutes; a gateway on the local
network that says nothing in this time has nothing to say, and is asked again later."""
GATEWAY_ANSWERS = 16
"""Packets read in one of these waits; more is somebody who floods."""
MAPPING_LIFE_S = HOUR_S
"""Asked for: what a killed daemon leaves open ends by itself after this."""
MAPPING_LIFE_MIN_S = 2 * MINUTE_S
MAPPING_LIFE_MAX_S = DAY_S
"""What a gateway grants is taken for no less, or it could make us ask without end, and for no more."""
MAPPING_RENEW_MAX_S = 15 * MINUTE_S
"""A mapping is renewed at half of its life, but at latest after this: a gateway that restarted has forgotten it."""
MAPPING_AGAIN_S = (MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S)
"""Waits after attempts that brought no mapping; the last goes on."""
MAPPING_DECLINED_MAX_S = HOUR_S
"""A gateway that says how long its refusal holds is not asked again before that, but at latest after this."""
MAPPING_LOOK_S = 30
"""Between looks at the routing table: after a change of network the mapping is made anew."""
MAPPING_END_S = 1.5
"""A clean stop waits so long for the gateway to take the mapping back: a part of `STOP_S`."""
UPNP_SEARCH_S = 2.0
"""A router answers a search within the second that the search gives it (UPnP Device Architecture 1.1, 1.3.2)."""
UPNP_URL_BYTES = 512
UPNP_S = 10.0
"""What UPnP's process takes at most; it is killed then."""
UPNP_ANSWER_BYTES = KIB
UPNP_PORTS = 3
"""Other external ports tried where the router has given ours to another machine."""

# --- cryptography ----------------------------------------------------------------------------------------------------

STAMP_BITS_MAX = 24
"""No stamp asks for more: 2^24 tries take three hours of one core, which nobody waits for."""
RATCHET_JUMP = 1_000
"""Message keys that one message may skip in one chain (R25); above UNACKNOWLEDGED, so an honest peer never does."""
RATCHET_SKIPPED = 2 * RATCHET_JUMP
"""Skipped message keys kept in one session (R25); the oldest go first."""
RATCHET_RETIRED = 64
"""Ratchet keys of the peer's remembered after their chains ended, so that a repeated message is known as one."""
RATCHET_COUNTER_MAX = 2**32 - 1
RATCHET_STATE_BYTES = 2 * KIB + RATCHET_SKIPPED * (40 + 36)
"""A session's state: 40 bytes for each skipped key, 36 for each of at most as many chains, and what it always has."""
NOISE_MESSAGE_BYTES = 65_535
"""A message of the handshake (Noise, revision 34, section 3)."""

# --- own keys --------------------------------------------------------------------------------------------------------

CONTACT_SECRETS = 64
"""Contact secrets of ours that are still read; a rotation beyond that drops the oldest."""
SECRET_READ_S = MAIL_LIFE_S + DAY_S
"""A retired contact secret is read as long as mail under way may make someone use it."""
SESSIONS_RETIRED = 60
"""Ids of sessions kept after their ratchets, so that a replayed first contact does not begin them again."""
SESSION_FORGET_S = PREKEY_KEEP_S + PREKEY_ROTATE_S
RATCHETS_CACHED = 256
OUTBOX_ITEMS = 20_000
"""Items under way to one contact; `send` refuses further ones."""
HANDSHAKE_S = 10
"""A link whose persons are not proven after so long is closed (R20)."""
LINKS = 256
DIAL_GAPS_S = (0, 5, 30, 120, 600, HOUR_S, 6 * HOUR_S)
"""Before the next attempt to reach a contact; the last goes on.  Who returns looks for us, and gives a sign of life
where mail waited.  With 600 s to the end each contact who is away cost 15 bytes a second, as much as an idle node."""
DIAL_WANTED_S = 600
"""The longest of these gaps where there is something new to be said."""
LINK_STANDS_S = 10
"""Links that fall sooner are like attempts that failed: the second in a row waits for the next of these gaps."""
LOOK_AGAIN_S = (0.25, 1.0)
"""Before a contact's presence is looked for again where nobody answered at all: who has just joined may know one node,
and that may be slow for a moment."""
HEARD_RECENTLY_S = 5 * MINUTE_S
"""A contact heard from this recently gets `MAILBOX_AFTER_S` for a link; one whose link ended, or who was not found,
none at all; another `MAILBOX_AFTER_ABSENT_S` (c5)."""
MAILBOX_AFTER_ABSENT_S = 0.05
"""Time for a link to win on a short path; the put begins beside a longer dial."""
PROFILE_RETRY_S = 60
PAIR_ROTATE_S = 7 * DAY_S
PAIR_READ_S = 45 * DAY_S
"""An old generation of a pair secret is read so long after a later one came into use."""
ACKNOWLEDGE_BY_MAIL_S = 1.0
"""Acknowledgements for one writer gather so long before they go by mailbox."""
ROLLOVER_S = 2 * CLOCK_SKEW_S + 5 * MINUTE_S
"""So long before and after midnight UTC yesterday's and tomorrow's addresses are watched too: the clocks of two ends
may be off in opposite directions."""
MAIL_BATCH = 64
"""Records that one put of mail carries."""
RING_LIFE_S = DAY_S
PART_ROW_BYTES = KIB
"""A part counts at least this, so that many small ones are bounded too."""
PART_BYTES_KEPT = 4 * TEXT_BYTES
"""Unfinished texts of one contact."""
PUTS_REMEMBERED = 32
"""Places in which one item was put, about 60 bytes each: one a day while it is tried, and one for each new session."""
RESYNC_S = HOUR_S
"""A session is begun anew with a contact whose envelopes name an unknown one at most once in this time."""

# --- the DHT's machinery ---------------------------------------------------------------------------------------------

STRIKES = 3
"""Requests in a row that a node leaves unanswered before it loses its place in the table; one lost datagram is none."""
REPLACEMENT_FACTOR = 2
"""Replacements kept for a bucket, in bucket sizes."""
BUCKET_PER_24 = 2
TABLE_PER_24 = 3
TABLE_PER_16 = 16
RESULT_PER_24 = 2
RESULT_PER_16 = 4
"""Nodes of one IPv4 /24 (IPv6 /48) and /16 (/32) in a bucket, in the table, and in a look-up's result (R7)."""
HARD_TIMEOUTS = 3
"""A request fails after so many of its node's time-outs; it is repeated once, after the first."""
RPCS_OPEN = 8_192
"""Requests of ours waiting for an answer in datagrams; a further one fails at once."""
SHARED_KEYS = 8_192
"""Datagram keys kept, 64 bytes each with their names: an agreement costs 0.1 ms, a look-up here none."""
AGREEMENTS_PER_S = 1_000
AGREEMENTS_BURST = 2_000
"""Key agreements for strangers: a tenth of a core."""
SOURCE_PER_S = 20
SOURCE_BURST = 100
"""Datagrams of one IPv4 address or IPv6 /64 (private: one key) that we did not ask for (R12)."""
NETWORK_PER_S = 100
NETWORK_BURST = 500
"""The same for an IPv4 /24 or IPv6 /48."""
SOURCES = 4_096
"""Sources whose rates are remembered; the one seen longest ago is forgotten."""
SMALL_PADDING_BYTES = 256
"""What a request whose answer is small is padded to without a token; the others to a whole datagram."""
PACE = 0.75
"""Of another's rate for us, what we use of it; the rest is for what is repeated."""
PACE_SPARED = 1 / 3
"""Of what may be asked at once, what stays for questions for which somebody waits."""
PACE_S = 0.25
"""A question that would exceed it waits so long."""
CHALLENGES_PER_S = 10
CHALLENGES_BURST = 40
"""Pings to servers that asked us something and may deserve a place in the table."""
PUZZLES_PER_S = 100
PUZZLES_BURST = 200
"""Checks of the node puzzle, 0.65 ms each; a key that cannot be checked now is treated as one that fails."""
STAMPS_PER_S = 50
STAMPS_BURST = 100
"""Checks of stamps on open items (R34)."""
CONTACTS_REMEMBERED = 8_192
"""Contacts whose parsed form is remembered, about 300 bytes each."""
LOOKUP_CANDIDATES = 1_024
LOOKUP_MERGED_PARALLEL = 16
"""Questions under way once the paths have been merged: what is left to ask is known, so only the width matters."""
LOOKUP_CREDIT = 2
"""Of the nodes tried on one's word, so many more may lack an answer than have answered; then it is doubted (R8)."""
REGION_FACTOR = 1.5
REGION_CEILING = 8
"""Where a key looks crowded, records go to all within the radius that should hold 1.5 times, to at most 8 times,
`replicas` nodes (R9)."""
CROWDED = 4.0
"""Nearest nodes so many times denser than the network raise the alarm."""
PREFIX_BITS_EXTRA = 4
"""Bits of a key beyond log2 of the network that nodes outside its region see (R14)."""
SIZE_SAMPLES = 8
"""Look-ups whose density gives the network's size, by their median."""
TIMINGS_KEPT = 1_000
"""Look-ups, gets or puts whose times `dht stats` tells of: enough for the slowest in a hundred."""
GET_KNOWN_IN_PACKET = 48
"""Item ids that a `Get` in a datagram names as known, as many as fit; all of them are named over QUIC."""
GET_WIDTH_MIN = 12
"""Nearest nodes that a get asks before it says that nothing is there, where `replicas` are fewer, at most twice as
many: those who stored may have seen other neighbours than we do."""
GET_TOMBSTONES = 4
"""Tombstones that ride along in one answer."""
FETCH_NEXT_S = 0.4
"""A holder that has not answered a fetch over QUIC in this time gets a second beside it."""
FETCHED_FROM = 4
"""Holders asked at once for what did not fit a datagram; when so many have told, slow ones are not waited for..."""
FETCHES = 2 * REPLICAS
"""...and so often in all is one asked again."""
HOLDERS_KNOWN = 256
"""Record keys whose holders are remembered..."""
HOLDERS_SPARE = 4
"""...with so many next nearest, for those of them that are slow..."""
HOLDERS_KNOWN_S = 10 * MINUTE_S
"""...for so long: the next put there, a conversation's next message, asks them at once, without a look-up."""
PUT_RETRY_S = (0.5, 2.0)
"""Waits before a put that has too few receipts asks the failed holders again."""
PUT_PACKETS = 4
"""Records that need more datagrams than this go over QUIC."""
RECEIPTS_PER_PACKET = 6
"""Receipts that fit the answer in one datagram."""
THROWAWAYS = 256
PER_SOURCE_STORE_BYTES_PER_DAY = 4 * MIB
PER_SERVER_STORE_BYTES_PER_DAY = 64 * MIB
"""New bytes kept for one /24 or /48 (private: one key) in a day; the larger for servers of our table (R10)."""
QUOTA_BYTES = 256 * MIB
PRICE_FROM = 0.5
PRICE_DOUBLES = 0.025
PRICE_MAX = 128
"""In a store that is fuller than the first, a byte costs twice as many of its source's bytes of a day for each such
further part of the store, at most so many (R34): who has brought little can always bring a record more."""
LISTEN_S = 40 * MINUTE_S
LISTEN_RENEW_S = 15 * MINUTE_S
LISTEN_SEARCH_S = 2 * HOUR_S
"""Listening holders are asked again this often; looked up anew this often, and when half are gone."""
LISTEN_OPEN_S = 25.0
"""A listener that does not serve sends each of its holders 23 bytes this often: routers forget after 30 s or later."""
LISTEN_HOLDERS = 4
"""Holders that one listener asks to push: all of them hold everything, one is enough, three may die."""
LISTENERS = 4_096
LISTENERS_PER_NETWORK = 512
"""Of one /24 or /48: who wants all of them for themselves needs eight."""
LISTENERS_PER_KEY = 8
LISTENS = 256
LISTEN_SEEN = 256
LISTEN_NEARER_GAP_S = 1.0
"""Between two look-ups for holders because of servers newly known that stand nearer: what is put meanwhile is read when
they promise to push."""
LISTEN_RETRY_S = 30.0
PUSH_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""A listener that has not answered a push is told again so long after the last time: at the latest when its line has
been back for as long as it was cut.  Who has gone costs a holder 20 small datagrams in nine minutes, then nothing."""
PUSHES_PER_S = 1.0
"""Of one holder, `SET_ITEMS` at once: each may cost us a put at all holders."""
LISTEN_FETCH_GAP_S = 0.5
LISTEN_FETCH_SELDOM_S = 30.0
LISTEN_FETCH_BURST = 16
"""What is announced is fetched so soon after the last time; beyond so many times that brought nothing, seldom: one
holder could have us read all the time."""
REFRESH_S = 12 * HOUR_S
REFRESH_SPREAD = 0.2
REFRESH_AFTER_START_S = 10 * MINUTE_S
REFRESH_NODES = 64
REFRESH_KEYS_PER_TURN = 128
"""Record keys that one turn reads for a refresh: a few milliseconds."""
REFRESH_TURN_S = 0.05
HANDOVERS = 64
HANDOVER_AFTER_S = (2.0, 20.0)
HANDOVER_AGAIN_S = HOUR_S
DIGESTS_PER_PACKET = 100
DIGESTS_PER_REQUEST = FRAGMENTED_BYTES // 10 - 8
EXPIRE_S = 5 * MINUTE_S
HINTS = 64
JOIN_RETRY_MIN_S = 0.25
JOIN_RETRY_MAX_S = 8.0
JOIN_RETRY_JOINED_MAX_S = 5 * MINUTE_S
JOIN_ASK = 8
"""Known nodes and hints tried at once..."""
JOIN_ASK_LATE = 2
"""...and when none of them answered for a while: 600 bytes a second at the most, as many as 8 every 30 s would be."""
JOIN_KNOWN = 32
SELF_LOOKUP_S = HOUR_S
BUCKET_REFRESH_S = 6 * HOUR_S
CHECK_S = MINUTE_S
"""The node of the table heard of longest ago is pinged this often."""
CHECK_SILENT_S = 15 * MINUTE_S
"""...if it has been silent for so long."""
JOIN_SPREAD_S = (0.5, 3.0)
"""After the first look-up of ourselves two random places are looked up at these times, to know far nodes as well."""
CHALLENGE_AGAIN_S = 30.0
SAVE_NODE_S = 10 * MINUTE_S
CLOCK_PEERS_MIN = 5
CLOCK_PEERS = 32
TIME_MOVES = 4
TIME_MOVES_S = 10 * MINUTE_S
"""What goes by days is looked at anew so often at once, then this seldom: half of our peers could have the time go to
and fro, and us read all mailboxes each time."""
OBSERVERS_ASKED = 5
"""Nodes asked where they see us, soon after joining, hourly, and when our address may have changed."""
OBSERVERS = 32
"""Nodes whose word about our own endpoint is kept."""
NEIGHBOURS = 64
"""Nodes remembered that discovery on the local network has shown: enough for an office, little for a flood."""
REACHED_NETWORKS = 3
"""Networks that must have reached us unasked before we serve."""
PROBE_S = (5.0, 15.0, 60.0, 300.0, 900.0)
REACH_PER_S = 2
REACH_BURST = 10
PROBERS = 64
"""Clients remembered that asked to be reached, and may reach others."""
PROBERS_S = 20 * MINUTE_S
"""A little longer than the last of `PROBE_S`: those in the open are always among them."""
CONTACTED = 4_096
CONTACTED_S = 10 * MINUTE_S
"""Hosts that we have written to in this time are no strangers: routers still let their packets in (RFC 4787 asks for 2
minutes of UDP mapping, 5 by default)."""
EXCHANGES_OPEN = 1_024
WINDOW_START = 64
WINDOW_MIN = 4
"""Questions under way at first, and at the least: on the narrowest line 5 KB, a second of 40 kbit/s."""
WINDOW_ANSWERS = 8
WINDOW_LATE_S = 1.0
"""The window is halved where the quickest of the last answers took so much longer than the shortest..."""
WINDOW_SHORTEST_S = 10 * MINUTE_S
"""...of this time and the one before (RFC 6817, section 3.4.2)."""
HELD_S = 4.0
"""A question that the window holds back for so long has failed: whoever waits asks others."""
RPCS_LATE = 256
FRAGMENTS_AFTER_S = 1.0
"""A request over QUIC unanswered for so long, and for `FRAGMENTS_AFTER_ROUND_TRIPS`, is asked in fragments beside it:
most are answered in three round trips, and where QUIC does not pass, this is what it costs to find out."""
FRAGMENTS_AFTER_TRUSTED_S = 4.0
"""The same where something has passed over QUIC within `QUIC_TRUSTED_S`: the line is slow then, or that node's."""
FRAGMENTS_AFTER_ROUND_TRIPS = 4
FRAGMENTS_UNDER_WAY = 8
"""Fragments of one exchange that wait for their answers: 9 KB, which the slowest line's queue takes."""
FRAGMENT_AGAIN_S = (0.1, 0.3, 1.0, 2.0)
"""Rests after silences in a row; after one more the other end is given up.  At 30 % loss both ways one fragment in four
fails, each sent twice, and so one exchange in a thousand; and a busy node has four seconds to come round."""
FRAGMENTED_S = 30.0
"""An exchange in fragments is over after this, at both ends."""
FRAGMENTED_OPEN = 128
"""Exchanges in fragments that a server holds, each with its question or its answer: at most 8 MiB..."""
FRAGMENTED_OF_SOURCE = 16
"""...of one IPv4 address or IPv6 /64 (private: one key)."""
QUIC_OUTRUN = 3
"""Nodes in a row whose answers came in fragments and not over QUIC, before QUIC is taken to be blocked here."""
QUIC_TRUSTED_S = HOUR_S
"""Where something has passed over QUIC, it is not taken to be blocked for so long."""
QUIC_FAIR_S = 0.5
"""Where round trips are longer, everything is late, and that QUIC is later says nothing: a narrow line may be full."""
QUIC_AGAIN_S = (MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S, HOUR_S)
"""Waits before QUIC is tried again where it did not pass; the last goes on."""

# --- the control API -------------------------------------------------------------------------------------------------

CONTROL_LINE_BYTES = 2 * MIB
"""One message of the control API in either direction: the longest text, each byte of it written as six."""
CONTROL_PAGE_BYTES = CONTROL_LINE_BYTES - 64 * KIB
"""A list that would be longer is answered in pages."""
CONTROL_CLIENTS = 32
CONTROL_CALLS = 64
"""Calls of one client under way, and calls of a batch; it is not read from before one of them is done."""
CONTROL_ID_CHARS = 256
"""A call's id: an answer repeats it, as up to 6 bytes a character."""
CONTROL_BATCH_BYTES = CONTROL_LINE_BYTES - CONTROL_CALLS * 2 * KIB
"""The answers of a batch; those that would be too long become errors, for which the rest of the line is enough."""
CONTROL_STALL_S = 5.0
"""A client that stops in the middle of a line, or does not take its answer, is closed after this."""
CONTROL_EVENTS = 256
"""Events read from the log at once."""
WAIT_S = 30.0
"""What `wait` and `--wait` wait unless told otherwise."""
WAIT_MAX_S = DAY_S
STOP_S = 5.0
"""A daemon that was asked to stop has ended after this."""
PUBLIC_INBOX_BITS = 12
"""The price of our public inbox outside private networks: 2.7 core-seconds (c6)."""
REQUEST_BITS_A_DAY = 2
REQUEST_BITS = 16
"""Who waits for an answer pays so many bits more for each day, up to this (R34): a public inbox that was filled at its
own price, 121 items for five core-minutes, is open again the day after to one who pays 11 core-seconds, and shut
again only for 85 core-minutes.  An inbox that asks more is paid what it asks."""
REQUEST_GAPS_S = (1, 2, 5, 15, 60, 300, HOUR_S)
"""Between attempts to ask someone whose profile is not found or whose inbox too few nodes take."""
HOUSEKEEPING_S = HOUR_S
HOUSEKEEPING_FIRST_S = 10 * MINUTE_S
"""After a start nothing is deleted for its age before: a clock that was wrong has been set by then, or peers have
told."""

# --- the databases ---------------------------------------------------------------------------------------------------

BUSY_S = 5.0
"""How long a change waits for another process that reads or copies the database; the daemon stands still meanwhile."""
WAL_PAGES = 2_000
"""In the write-ahead log before a commit moves them into the database, which takes some milliseconds: with every 150th
message or so."""
WAL_KEPT_BYTES = WAL_PAGES * (4 * KIB + 24) + 32
"""A write-ahead log of so many pages, with SQLite's headers: the user's has this length from its opening on, and one
that grew beyond it is cut back to it once its pages are in the database."""
STATEMENTS_CACHED = 256
ROWS_REMEMBERED = 1_024
"""Opened rows of one table that stay in memory: of contacts, what waits for them, and what was said last."""
CONVERSATION_END = 64
"""Messages at the end of a conversation whose places are remembered; more than `PARENTS`."""
ROW_REMEMBERED_BYTES = 4 * KIB
"""Sealed; larger ones are read again when they are wanted."""
STEPS_FIRST = 4
STEPS_NEWEST = 60
"""Steps kept of one message: how it began, and what happened last."""
EVENTS_TRIM = 256
"""The oldest events go so many at a time; as many more than `EVENTS_KEPT` may be there."""
NODES_KEPT = 200
NODES_FIRST_KEPT = 4
"""Nodes remembered: those seen last, and those known longest, which an attacker of today cannot have made."""
EXPIRE_MESSAGES = 256
"""Texts that one turn forgets because they have come to their end; the next turn goes on."""
EXPIRE_RECORDS = 4_096
"""Records that one turn removes because they have expired: some 60 ms."""
PRIVATE_FILE_BYTES = 64 * KIB
"""A file of the home that is read whole: keys, control, lock."""
PASSPHRASE_BYTES = KIB
"""The longest passphrase, in UTF-8."""
PASSPHRASE_SALT_BYTES = 16
PASSPHRASE_MEMORY_BYTES = 64 * MIB
PASSPHRASE_PASSES = 3
"""What Argon2id costs a guess at least (RFC 9106); a key file that asks for less is not believed (R41)."""
PASSPHRASE_MEMORY_MAX_BYTES = 256 * MIB
PASSPHRASE_PASSES_MAX = 192
"""More than this a key file cannot ask for: opening it would take minutes."""
PASSPHRASE_TRY_S = 0.15
"""Processor time of one guess on the machine that sets the passphrase: passes are doubled until it is reached."""

# --- the engine ------------------------------------------------------------------------------------------------------

CALLS_FOR_NETWORK = 64
"""Reads and puts that a user has asked for and that wait for the first other node."""
SETTLE_S = 0.25
"""After joining, what nobody waits for (publishing, listening) begins so much later than what somebody may."""
LINKS_AT_START = 64
"""Contacts dialled when the node has joined, so that friends who are up see each other."""
REASONS = 256
"""Reasons that rejections are counted under; they are ours, so this only guards against a bug."""

# --- the local network -----------------------------------------------------------------------------------------------

LAN_SALT_BYTES = 16
LAN_TAG_BYTES = 8
LAN_HOUR_BYTES = 4
"""The hour that a salt was made in is its beginning."""
LAN_HOURS = 2
"""A salt that is older or newer is not looked at: for so long an announcement can be recorded and played elsewhere."""
LAN_ROTATE_S = HOUR_S
"""Salt, tag and names of an announcement live so long, and no longer than the secret behind the tag."""
LAN_LIFE_S = 2.5 * HOUR_S
"""What an announcement said is forgotten after this long: more than two rotations."""
LAN_CHECKS_PER_S = 4.0
LAN_CHECKS_BURST = 2 * NEIGHBOURS
"""Announcements whose tag is compared with what each contact's would be: 2.5 us for each of at most 5,000 contacts."""
LAN_CONTACTS = 256
"""Endpoints of contacts that are remembered, those heard last."""
LAN_WAYS = 4
"""Endpoints at which one contact is believed to be beside us; a replayed announcement can fill three of them."""
LAN_TRIES_PER_MINUTE = 4
"""Hellos to one address, since anybody on the local network can announce any of its addresses."""
LAN_ASK_S = (0.5, 2.0, 10.0)
"""When a neighbour that says it is a contact is asked again for its key, where the question before got no answer."""
LAN_DIAL_AFTER_S = 0.5
"""After our own announcement nobody is dialled for so long, so that both ends know of each other by then."""
LAN_SEGMENTS = 4
"""Local networks of one machine that are used, the first of its addresses."""
LAN_PREFIX_MAX = 30
"""A network with more bits than this has no place for another machine."""
LAN_LISTEN_FIRST_S = 0.25
"""On a network that is new to us we ask first who is there: answers come after 20 to 120 ms (RFC 6762 section 6)."""
LAN_RETRY_S = 60.0
"""After a network on which nothing could be announced, or which was flooded, has been left."""
LAN_CLOSE_S = 1.0
"""How long taking back what was announced may take."""
LAN_HEARD_PER_S = 8.0
"""Announcements handed to the core."""
LAN_NAME_BYTES = 10

# --- this machine's addresses ----------------------------------------------------------------------------------------

ADDRESSES_SETTLE_S = 0.3
"""Without a further notice for so long, a change is over: an interface that comes up causes a dozen."""
ADDRESSES_SETTLE_MAX_S = 1.0
"""...and after so long it is looked at in any case."""
ADDRESSES_POLL_S = 10.0
"""How often the addresses are read where no notice comes of a change: every system but Linux."""
SLEEP_CHECK_S = 2.0
"""How often the clocks are compared to find out whether the machine slept."""
SLEPT_S = 2.0
"""Clocks that part by more: the machine slept.  Below it, nothing that others wait for has run out."""
MACHINE_ADDRESSES = 256
"""Addresses of one machine that are looked at; a host of containers has dozens."""
NETLINK_BYTES = 64 * KIB
NETLINK_READS = 256
NETLINK_S = 1.0
"""Reads of one list, and how long the kernel may take for each."""
NOTICES_PER_READ = 1_024

# --- what strangers and contacts may make us do ----------------------------------------------------------------------

REFUSE_S = 0.05
"""A caller is refused so long after what they said came, whatever was wrong with it: to see that it opens, but is of
nobody who may link, takes half a millisecond more than that it does not open, and would tell who is at home here."""
LINKS_UNPROVEN = 64
"""Incoming links whose persons are not proven yet, beside `LINKS`: beyond it the one that has said nothing for longest
goes, so that strangers who open links and wait keep no contact out."""
LINKS_UNPROVEN_PER_NODE = 2
"""...of them of one node key: an attempt, and the next before the first is known to be lost."""
LINKS_UNPROVEN_PER_CONTACT = 4
"""...of them in one contact's name: twice that, since they may come by a relay too.  A contact makes node keys at will,
and would keep all others out."""
MARK_BYTES = 12
ITEMS_MARKED = LINK_WINDOW
"""Committed items whose marks are remembered, 20 bytes each: as many as go over a link without an answer.  Who repeats
a number for another item runs from an old copy of their home."""
RING_DAYS = 3
"""Days whose ring tags are kept: yesterday, today and, near midnight, tomorrow."""
