"""Everything that reads bytes which others made, by name.

| group | what it reads | wrongly accepted is |
|---|---|---|
| formats | all decoders of `tests/wire/formats.py` | a value that its own encoding does not give back |
| texts | links, invites, addresses, endpoints | the same |
| proofs | signed or sealed: records, boxes, handshake steps, requests, envelopes | any that is not a sample |
| state | key file, rows, ratchets, a backup's chunks | one that does not give back what was kept |
| answers | of routers | nothing: they prove nothing |
| control | lines of the control API | nothing: the caller is the user |
| quic | first packets | nothing: none gets through |
| inside | what a node or a contact says, well sealed (`inside.py`) | nothing: they are who they are |

Known gaps: the databases' own pages are SQLite's to read, and tried by `tests/storage/test_database.py` in hundreds;
TLS within QUIC is aioquic's, and is only met here by packets that were changed on their way.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

from p2pd.crypto.certificate import node_certificate
from p2pd.crypto.first_contact import accept, begin, open_request, seal_request
from p2pd.crypto.handshake import Initiator, Responder
from p2pd.crypto.keys import SigningKey, x25519_public
from p2pd.crypto.prekeys import new_prekey
from p2pd.crypto.ratchet import Ratchet, RatchetHeader
from p2pd.crypto.sealing import seal, unseal
from p2pd.crypto.stream import Opening, Sealing
from p2pd.daemon.control import _arguments
from p2pd.daemon.json_rpc import ProtocolError, decoded, request_of
from p2pd.daemon.methods import METHODS
from p2pd.dht.records import verified
from p2pd.errors import DamagedError, PeerError, StorageError, UsageError
from p2pd.net.frames import FrameReader, encode_frame
from p2pd.net.port_mapping import nat_pmp, pcp, ssdp, upnp
from p2pd.net.port_mapping.method import DeclinedError
from p2pd.storage.keys import Unwrapped, decode_keys, encode_keys
from p2pd.storage.rows import Sealer
from p2pd.types import DeviceKey
from p2pd.wire.envelope import Envelope, FirstContact, envelope_binding
from p2pd.wire.record import Record
from tests.chance import SeededRandom
from tests.crypto.test_first_contact import signed
from tests.fuzz.inside import BODIES, FRAGMENTS, PACKETS, Friend, Holder, Server
from tests.fuzz.target import Target
from tests.wire.formats import DECODERS, GOLDEN, READERS, TEXTS

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
ALICE_ID, BOB_ID = SigningKey(b"A" * 32).public, SigningKey(b"B" * 32).public
PREKEY = new_prekey(7, 0, SeededRandom("fuzz"))
KEY, NONCE = b"k" * 32, bytes(24)
PROLOGUE = b"both certificates"
FRAMES = (encode_frame(b"one"), encode_frame(b"x" * 300) + encode_frame(b"y"))


def forged(samples: tuple[bytes, ...], data: bytes, value: Any) -> bool:
    """Whether something was taken that nobody sealed or signed."""
    return data not in samples


def harmless(data: bytes, value: Any) -> bool:
    """Where there is nothing to forge."""
    return False


def text_of(read: Callable[[str], object], data: bytes) -> object:
    """A reader of text, as a shell gives it bytes."""
    return read(data.decode(errors="surrogateescape"))


def _formats() -> dict[str, Target]:
    return {name: Target(read, samples) for name, (read, samples) in DECODERS.items()}


def _texts() -> dict[str, Target]:
    samples = [TEXTS[name].encode() for name in ("address", "link", "message_letters")]
    samples += [hint.encode() for hint in TEXTS["hints"]] + [b"127.0.0.1:4242", b"[2001:db8::1]:4242", b"ybndr"]
    return {name: Target(partial(text_of, read), samples, (refusal,)) for name, (read, refusal) in READERS.items()}


def _proof(read: Callable[[bytes], Any], *samples: bytes) -> Target:
    return Target(read, samples, wrong=partial(forged, samples), proof=True)


def _proofs() -> dict[str, Target]:
    records = [value.encode() for value, _ in GOLDEN if isinstance(value, Record)]
    valid = tuple(data for data in records if _verifies(data)) or (_signed_record(),)
    box = seal(KEY, NONCE, b"a packet", b"head")
    return {
        "record": _proof(verified, *valid),
        "box": _proof(lambda data: unseal(KEY, NONCE, data, b"head"), box),
        **_handshake(),
        "request": _request(),
        "envelope": _envelope(),
        "ratchet": _ratchet(),
        "frames": Target(_frames, FRAMES, wrong=harmless),
    }


def _verifies(data: bytes) -> bool:
    try:
        return verified(data) is not None
    except PeerError:
        return False


def _signed_record() -> bytes:
    from p2pd.peer.published import signed_record
    from p2pd.types import AddressKey, ItemId
    from p2pd.wire.record import SetItem

    content = SetItem(AddressKey(ALICE.public), ItemId(bytes(16)), 2_000_000_000, b"body" * 20)
    return signed_record(content, ALICE).encode()


def _handshake() -> dict[str, Target]:
    """Every step of the proof between two devices."""
    random = SeededRandom("handshake")
    initiator, responder = Initiator(ALICE, BOB.public, PROLOGUE, random), Responder(BOB, PROLOGUE, random)
    hello = initiator.hello(b"my certificate")
    waiting = copy(initiator._noise)
    waiting._symmetric = copy(initiator._noise._symmetric)
    responder.receive(hello)
    answer = responder.reply(b"welcome")
    initiator.finish(answer)
    word = initiator.transport().seal(b"ready")

    def finished(data: bytes) -> bytes:
        noise = copy(waiting)
        noise._symmetric = copy(waiting._symmetric)
        return noise.read_second(data)

    return {
        "handshake.hello": _proof(lambda data: Responder(BOB, PROLOGUE, random).receive(data), hello),
        "handshake.answer": _proof(finished, answer),
        "handshake.word": _proof(lambda data: responder.transport().unseal(data), word),
    }


def _request() -> Target:
    public = PREKEY.public()
    started = begin(ALICE, ALICE_ID, BOB_ID, BOB.public, public, signed(public))
    blob = seal_request(started, b"a request of some length")
    return _proof(lambda data: open_request(lambda id: PREKEY if id == PREKEY.id else None, data), blob)


def _envelope() -> Target:
    """The first envelope of a session: first contact and ratchet together, as `peer.sessions` opens it."""
    public = PREKEY.public()
    started = begin(ALICE, ALICE_ID, BOB_ID, BOB.public, public, signed(public))
    head = started.header
    first = FirstContact(
        head.suite, DeviceKey(head.device), head.ephemeral, head.prekey_id, head.one_time_id, head.kem_ciphertext
    ).encode()
    top, ciphertext = Ratchet.begin(started.secret, public.x25519, started.associated).encrypt(
        b"hello", envelope_binding(b"s" * 16, 1, first)
    )
    sample = Envelope(b"s" * 16, 1, top.public, top.previous, top.number, ciphertext, first).encode()

    def opened(data: bytes) -> bytes:
        envelope = Envelope.decode(data)
        found = FirstContact.decode(envelope.first_contact)
        header = type(head)(
            found.suite, found.device, found.ephemeral, found.prekey, found.one_time, found.kem
        )  # fmt: skip
        if found.prekey != PREKEY.id:
            raise PeerError("unknown prekey")
        accepted = accept(BOB, BOB_ID, ALICE_ID, PREKEY, header)
        return _decrypted(Ratchet.accept(accepted.secret, PREKEY, accepted.associated), envelope)

    return Target(opened, [sample], wrong=partial(_another, Envelope.decode(sample)), proof=True)


def _another(envelope: Envelope, data: bytes, value: object) -> bool:
    """Whether it says anything else: fields of a newer version may follow, and are not looked at."""
    return Envelope.decode(data) != envelope


def _decrypted(ratchet: Ratchet, envelope: Envelope) -> bytes:
    binding = envelope_binding(envelope.session, envelope.sequence, envelope.first_contact)
    header = RatchetHeader(envelope.ratchet, envelope.previous, envelope.number)
    return ratchet.decrypt(header, envelope.ciphertext, binding)


def _ratchet() -> Target:
    """A later envelope, of a session that both have used, with a message before it still missing."""
    alice = Ratchet.begin(b"s" * 32, x25519_public(PREKEY.x25519), b"both")
    bob = Ratchet.accept(b"s" * 32, PREKEY, b"both")
    bob.decrypt(*alice.encrypt(b"hello"))
    alice.decrypt(*bob.encrypt(b"hello"))
    alice.encrypt(b"missing")
    top, ciphertext = alice.encrypt(b"text", envelope_binding(b"s" * 16, 3, b""))
    sample = Envelope(b"s" * 16, 3, top.public, top.previous, top.number, ciphertext, b"").encode()
    state = bob.state()

    def opened(data: bytes) -> bytes:
        return _decrypted(Ratchet.from_state(state), Envelope.decode(data))

    return Target(opened, [sample], wrong=partial(_another, Envelope.decode(sample)), proof=True)


def _frames(data: bytes) -> list[bytes]:
    reader = FrameReader()
    reader.feed(data)
    frames = reader.take(64)
    assert sum(4 + len(frame) for frame in frames) + len(reader._buffer) == len(data)
    return frames


def _state() -> dict[str, Target]:
    keys, sealer = Unwrapped(KEY), Sealer(KEY)
    row = sealer.seal(b"a row", "messages", (b"id",))
    sealing = Sealing(KEY)
    chunk = sealing.seal(b"a chunk", b"before", last=True)
    ratchet = Ratchet.begin(b"s" * 32, x25519_public(PREKEY.x25519), b"both").state()
    damage = (DamagedError, StorageError)
    return {
        "key file": Target(decode_keys, [encode_keys(keys)], damage, lambda data, value: value != keys),
        "row": _proof(lambda data: sealer.unseal(data, "messages", (b"id",)), row),
        "backup": _proof(lambda data: Opening(KEY, sealing.header).open(data, b"before"), chunk),
        "ratchet state": Target(
            Ratchet.from_state,
            [ratchet],
            damage,
            lambda data, value: Ratchet.from_state(value.state()).state() != value.state(),
        ),
    }


def _answers() -> dict[str, Target]:
    refusals = (PeerError, DeclinedError)
    pmp = [bytes((0, 129, 0, 0)) + bytes(4) + b"\x10\x92\x10\x92\0\0\x0e\x10"]
    pcp_answer = [bytes((2, 129, 0, 0)) + b"\0\0\x0e\x10" + bytes(16) + b"n" * 12 + b"\x11\0\0\0\x10\x92\x10\x92" +
                  bytes(10) + b"\xff\xff\xc0\0\x02\x01"]  # fmt: skip
    reply = [
        b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://192.0.2.1:5000/root.xml\r\n\r\n"
    ]
    printed = [b'{"external":"192.0.2.1","port":4242,"error":""}', b'{"error":"no router"}']
    return {
        "nat-pmp": Target(nat_pmp.MapAnswer.decode, pmp, refusals, harmless),
        "pcp": Target(pcp.MapAnswer.decode, pcp_answer, refusals, harmless),
        "ssdp": Target(lambda data: ssdp.description_url(data, "192.0.2.1"), reply, refusals, harmless),
        "upnp": Target(upnp.read_printed, printed, refusals, harmless),
    }


def _control() -> dict[str, Target]:
    samples = [
        b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"to":"bob","text":"hello \\u202e"}}',
        b'{"jsonrpc":"2.0","id":"x","method":"history","params":{"to":"bob","limit":50}}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"events.follow","params":{"since":0,"type":"message"}}',
        b'{"jsonrpc":"2.0","method":"config.set","params":{"name":"listen","value":"127.0.0.1:0"}}',
    ]

    def called(line: bytes) -> object:
        request = request_of(decoded(line))
        method = METHODS.get(request.method)
        return _arguments(method, request) if method else None

    return {"control line": Target(called, samples, (ProtocolError, UsageError), harmless)}


def node_target() -> Target:
    """A first QUIC packet at a node that is not warned; slow, so that it is tried apart."""
    from tests.net.pair import Node, Wire
    from tests.net.test_admission import first_packet

    wire = Wire()
    victim = Node(wire, 1)
    node_certificate(SigningKey(bytes(32)), SeededRandom(1))
    sample = first_packet(victim)
    source = wire.nodes[0].endpoint

    def received(data: bytes) -> None:
        wire.now += 0.01
        victim.quic.on_datagram(data, source, wire.now)
        victim.on_timer(wire.now)
        wire.packets.clear()
        assert not victim.inputs, "nothing reaches the core"

    return Target(received, [sample], (), harmless)


def _inside() -> dict[str, Target]:
    server, friend = Server(), Friend()
    return {
        "dht packet": Target(server.datagram, PACKETS, (), harmless),
        "dht request": Target(server.request, BODIES, (), harmless),
        "dht fragments": Target(Holder().fragment, FRAGMENTS, wrong=harmless),
        "content of a contact": Target(friend.content, friend.samples(), (), harmless),
    }


GROUPS: dict[str, dict[str, Target]] = {
    "formats": _formats(),
    "texts": _texts(),
    "proofs": _proofs(),
    "state": _state(),
    "answers": _answers(),
    "control": _control(),
    "quic": {"quic packet": node_target()},
    "inside": _inside(),
}
TARGETS: dict[str, Target] = {name: target for group in GROUPS.values() for name, target in group.items()}
