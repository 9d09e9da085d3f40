"""Every format of the protocol a second time, written from docs/protocol.md: fixed values and their bytes.

`python -m tests.second.formats` writes tests/vectors/wire.json.
"""

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tests.second.messagepack import Value, pack

FILE = Path(__file__).parents[1] / "vectors" / "wire.json"
LETTERS = "ybndrfg8ejkmcpqxot1uwisza345h769"


def filled(size: int, start: int = 0) -> bytes:
    """Bytes that count up."""
    return bytes((start + place) % 256 for place in range(size))


def framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def label_hash(label: str, *parts: bytes, size: int = 32, key: bytes = b"") -> bytes:
    return blake2b(framed(b"p2pd/1 " + label.encode(), *parts), digest_size=size, key=key).digest()


def letters(data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(LETTERS[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


IDENTITY, DEVICE, NODE, ADDRESS = filled(32, 1), filled(32, 2), filled(32, 3), filled(32, 4)
KEY, SECRET, DIGEST, PUBLIC = filled(32, 5), filled(32, 6), filled(32, 7), filled(32, 8)
ITEM, MESSAGE, SESSION, TOKEN = filled(16, 9), filled(16, 10), filled(16, 11), filled(16, 12)
SIGNATURE, ID, NETWORK = filled(64, 13), filled(8, 14), filled(4, 15)
ENDPOINT_4 = bytes((192, 0, 2, 7)) + (4_242).to_bytes(2, "big")
ENDPOINT_6 = bytes.fromhex("20010db8000000000000000000000001") + (65_535).to_bytes(2, "big")
WALL_MS = 1_790_000_000_123
EXPIRES_S = 1_790_086_400
U63 = 2**63 - 1


@dataclass(frozen=True)
class Made:
    """One format with its fields in order, behind its tag where it has one."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    tag: int | None = None

    def value(self) -> Value:
        values = [_plain(value) for value in self.fields.values()]
        return values if self.tag is None else [self.tag, *values]

    def encode(self) -> bytes:
        return pack(self.value())


def _plain(value: Any) -> Value:
    if isinstance(value, Made):
        return value.value()
    return [_plain(item) for item in value] if isinstance(value, list) else value


CONTACT = Made("rpc.Contact", {"key": NODE, "endpoint": ENDPOINT_4})
CONTACT_6 = Made("rpc.Contact", {"key": NODE, "endpoint": ENDPOINT_6})
SINGLE = Made("record.Single", {"address": ADDRESS, "sequence": WALL_MS, "expires_s": EXPIRES_S, "body": b"one"}, 1)
SET_ITEM = Made("record.SetItem", {"address": ADDRESS, "item": ITEM, "expires_s": EXPIRES_S, "body": filled(256)}, 2)
OPEN_ITEM = Made(
    "record.OpenItem",
    {"address": ADDRESS, "expires_s": EXPIRES_S, "body": filled(16), "signer": PUBLIC, "stamp": filled(8)},
    3,
)
TOMBSTONE = Made("record.Tombstone", {"address": ADDRESS, "item": ITEM, "expires_s": EXPIRES_S, "family": 2}, 4)
RECORD = Made("record.Record", {"content": SINGLE.encode(), "signature": SIGNATURE})
STAMPED = Made("record.Record", {"content": OPEN_ITEM.encode(), "signature": SIGNATURE})
RECEIPT_CONTENT = Made(
    "record.ReceiptContent", {"digest": DIGEST, "holder": NODE, "holder_kind": 1, "expires_s": EXPIRES_S}
)
RECEIPT = Made("record.Receipt", {"content": RECEIPT_CONTENT.encode(), "signature": SIGNATURE})

QUESTIONS = [
    Made("rpc.Ping", tag=1),
    Made("rpc.Pong", {"wall_ms": WALL_MS, "observed": ENDPOINT_6}, 2),
    Made("rpc.Find", {"target": KEY}, 3),
    Made("rpc.Nodes", {"contacts": [CONTACT, CONTACT_6]}, 4),
    Made("rpc.Get", {"key": KEY, "known": [ITEM, MESSAGE], "sequence": 7}, 5),
    Made("rpc.Values", {"records": [RECORD.encode()], "more": 300, "contacts": [CONTACT]}, 6),
    Made("rpc.Store", {"records": [RECORD.encode(), STAMPED.encode()]}, 7),
    Made("rpc.Stored", {"results": [0, 3], "receipts": [RECEIPT.encode()]}, 8),
    Made("rpc.Listen", {"address": ADDRESS, "until_s": EXPIRES_S, "signature": SIGNATURE}, 9),
    Made("rpc.Listening", {"until_s": 0}, 10),
    Made("rpc.Push", {"record": STAMPED.encode()}, 11),
    Made("rpc.Pushed", tag=12),
    Made("rpc.Digest", {"digests": [filled(8), filled(8, 1)]}, 13),
    Made("rpc.Missing", {"positions": [0, 65_535]}, 14),
    Made("rpc.Probe", tag=15),
    Made("rpc.Probing", tag=16),
    Made("rpc.Reach", {"key": NODE, "endpoint": ENDPOINT_4}, 17),
    Made("rpc.Reached", tag=18),
    Made("rpc.Failed", {"reason": 255}, 19),
    Made("rpc.Fragment", {"exchange": ID, "at": 4, "count": 5, "data": filled(40)}, 20),
    Made("rpc.Taken", {"lacking": [0, 63]}, 21),
    Made("rpc.Rest", {"exchange": ID, "at": 63}, 22),
    Made("rpc.Answered", {"count": 64, "data": filled(40)}, 23),
]
PACKETS = [
    Made("rpc.Packet", {"id": ID, "token": TOKEN, "serves": True, "body": QUESTIONS[0], "padding": b""}),
    Made("rpc.Packet", {"id": ID, "token": b"", "serves": False, "body": QUESTIONS[2], "padding": bytes(1_000)}),
]

DEVICE_CONTENT = Made("person.DeviceContent", {"identity": IDENTITY, "device": DEVICE, "made_s": EXPIRES_S})
CERTIFICATE = Made("person.DeviceCertificate", {"content": DEVICE_CONTENT.encode(), "signature": SIGNATURE})
PREKEY_CONTENT = Made(
    "person.PrekeyContent", {"id": 70_000, "exchange": PUBLIC, "kem": filled(1_184), "made_s": EXPIRES_S}
)
PREKEY = Made("person.SignedPrekey", {"content": PREKEY_CONTENT.encode(), "signature": SIGNATURE})
PROFILE_DEVICE = Made("person.ProfileDevice", {"certificate": CERTIFICATE, "prekey": PREKEY})
PROFILE = Made("person.Profile", {"name": "Zoë 星", "made_ms": WALL_MS, "inbox_bits": 12, "devices": [PROFILE_DEVICE]})
WAITING = Made("person.Waiting", {"relay": NODE, "endpoints": [ENDPOINT_4], "callee": KEY})
PRESENCE = Made(
    "person.Presence",
    {"made_ms": WALL_MS, "node": NODE, "endpoints": [ENDPOINT_4, ENDPOINT_6], "relays": [WAITING], "nat": 5},
)

FIRST_CONTACT = Made(
    "envelope.FirstContact",
    {"suite": 1, "device": DEVICE, "ephemeral": PUBLIC, "prekey": 70_000, "one_time": 0, "kem": filled(1_088)},
)
ENVELOPE = Made(
    "envelope.Envelope",
    {
        "session": SESSION,
        "sequence": U63,
        "ratchet": PUBLIC,
        "previous": 0,
        "number": 2**32 - 1,
        "ciphertext": filled(40),
        "first_contact": b"",
    },
)
FIRST_ENVELOPE = Made("envelope.Envelope", {**ENVELOPE.fields, "sequence": 1, "first_contact": FIRST_CONTACT.encode()})
CONTACT_REQUEST = Made(
    "envelope.ContactRequest",
    {"certificate": CERTIFICATE, "envelope": FIRST_ENVELOPE.encode(), "proof": filled(16, 17)},
)

ACKNOWLEDGEMENT = Made(
    "content.Acknowledgement",
    {"epoch": ID, "of": filled(8, 16), "through": 130, "above": b"\x05", "mark": filled(12, 24)},
)
BODIES = [
    Made(
        "content.Text",
        {"text": "grüß dich".encode(), "part": 1, "parts": 2, "parents": [MESSAGE], "reply": MESSAGE, "expires_s": 60},
        1,
    ),
    Made(
        "content.Request",
        {"name": "", "secret": SECRET, "text": b"may we talk?", "node": NODE, "endpoints": [ENDPOINT_4]},
        2,
    ),
    Made("content.Accept", {"name": "Bob", "secret": SECRET}, 3),
    Made("content.Nothing", tag=4),
    Made("content.Read", {"messages": [MESSAGE, ITEM]}, 5),
    Made("content.NewSecret", {"secret": SECRET}, 6),
    Made("content.PairProposal", {"generation": 1, "secret": SECRET}, 7),
    Made("content.NewName", {"name": "x" * 50}, 8),
    Made("content.Void", {"message": MESSAGE}, 9),
    Made("content.Recall", {"message": MESSAGE}, 10),
    Made("content.Recalled", {"message": MESSAGE, "outcome": 2}, 11),
]
CONTENT = Made(
    "content.Content",
    {
        "message": MESSAGE,
        "clock": WALL_MS * 65_536 + 3,
        "acknowledgement": ACKNOWLEDGEMENT,
        "body": BODIES[0].encode(),
    },
)
LINK = [
    Made("link.Carry", {"envelope": ENVELOPE.encode()}, 1),
    Made("link.Ready", tag=2),
    Made("link.Typing", {"for_ms": 5_000}, 3),
    Made("link.Punch", {"round": 3, "token": TOKEN, "endpoints": [ENDPOINT_4, ENDPOINT_6], "nat": 4}, 4),
    Made("link.PunchNow", {"round": 3}, 5),
]
RELAY = [
    Made("relay.Reserve", tag=1),
    Made("relay.Reserved", {"endpoints": [ENDPOINT_4, ENDPOINT_6]}, 2),
    Made("relay.Call", {"channel": 1, "callee": KEY}, 3),
    Made("relay.Called", {"channel": 70_000, "caller": NODE}, 4),
    Made("relay.Through", {"channel": 70_000, "frame": filled(48)}, 5),
    Made("relay.HangUp", {"channel": 1, "reason": 4}, 6),
]

FORMATS: list[Made] = [
    *QUESTIONS, *PACKETS, CONTACT, CONTACT_6,
    SINGLE, SET_ITEM, OPEN_ITEM, TOMBSTONE, RECORD, STAMPED, RECEIPT_CONTENT, RECEIPT,
    DEVICE_CONTENT, CERTIFICATE, PREKEY_CONTENT, PREKEY, PROFILE_DEVICE, PROFILE, WAITING, PRESENCE,
    FIRST_CONTACT, ENVELOPE, FIRST_ENVELOPE, CONTACT_REQUEST,
    ACKNOWLEDGEMENT, *BODIES, CONTENT,
    Made("link.Introduction", {"certificate": CERTIFICATE}), *LINK, *RELAY,
]  # fmt: skip


def datagrams() -> dict[str, dict[str, Any]]:
    """The four datagrams, byte by byte."""
    sealed = bytes((0x20, 1)) + NETWORK + NODE + filled(24) + filled(40)
    hello = bytes((0x21, 1)) + NETWORK + ID + bytes(1_138)
    welcome = bytes((0x22, 1)) + NETWORK + ID + NODE + TOKEN + WALL_MS.to_bytes(8, "big") + b"\x01" + ENDPOINT_4
    knock = bytes((0x23, 1)) + NETWORK + TOKEN + b"\x01"
    return {
        "Sealed": {"network": NETWORK, "sender": NODE, "nonce": filled(24), "box": filled(40), "bytes": sealed},
        "Hello": {"network": NETWORK, "id": ID, "bytes": hello},
        "Welcome": {
            "network": NETWORK,
            "id": ID,
            "key": NODE,
            "token": TOKEN,
            "wall_ms": WALL_MS,
            "serves": True,
            "observed": "192.0.2.7:4242",
            "bytes": welcome,
        },
        "Knock": {"network": NETWORK, "token": TOKEN, "heard": True, "bytes": knock},
    }


def invite_checksum(hints: bytes, body: bytes) -> bytes:
    return label_hash("invite checksum", IDENTITY, hints, body, size=3)


def spoken(digest: bytes) -> str:
    """What is read aloud: groups of four letters."""
    return " ".join(letters(digest)[at : at + 4] for at in range(0, 32, 4))


def texts() -> dict[str, Any]:
    """What people copy."""
    address = "p2p:" + letters(IDENTITY + label_hash("address checksum", IDENTITY, size=3))
    hints = b"\x26" + NODE + ENDPOINT_4 + b"\x32" + KEY + ENDPOINT_6
    several = b"\x01" + EXPIRES_S.to_bytes(4, "big") + TOKEN
    once = b"\x02" + EXPIRES_S.to_bytes(4, "big") + TOKEN + (70_000).to_bytes(4, "big") + PUBLIC
    return {
        "identity": IDENTITY,
        "address": address,
        "link": address + "/" + letters(hints),
        "hints": [f"{letters(NODE)}@192.0.2.7:4242", f"{letters(KEY)}@[2001:db8::1]:65535"],
        "invite": f"{address}/{letters(hints)}/{letters(several + invite_checksum(hints, several))}",
        "invite_once": f"{address}//{letters(once + invite_checksum(b'', once))}",
        "invitation": {"expires_s": EXPIRES_S, "secret": TOKEN, "one_time_id": 70_000, "one_time": PUBLIC},
        "message": MESSAGE,
        "message_letters": letters(MESSAGE),
        "fingerprint": spoken(label_hash("fingerprint", IDENTITY, size=20)),
        "other_identity": DEVICE,
        "safety_code": spoken(label_hash("safety code", IDENTITY, DEVICE, size=20)),
    }


def derived() -> dict[str, Any]:
    """Hashes that belong to formats."""
    return {
        "network": {"name": "p2pd", "id": label_hash("network", b"p2pd", size=4)},
        "record_keys": [label_hash("record key", bytes([family]), ADDRESS) for family in (1, 2, 3)],
        "record_digest": label_hash("record digest", SINGLE.encode()),
        "stamp_challenge": label_hash(
            "record digest", Made("record.OpenItem", {**OPEN_ITEM.fields, "stamp": b""}, 3).encode()
        ),
        "envelope_binding": label_hash("envelope", SESSION, (1).to_bytes(8, "big"), FIRST_CONTACT.encode()),
        "invite_proof": label_hash("invite proof", IDENTITY, FIRST_ENVELOPE.encode(), size=16, key=TOKEN),
        "node_id": label_hash("node id", NODE),
        "relayed_binding": label_hash("relayed link", NODE, KEY),
        "link_prologue": {"binding": DIGEST, "bytes": framed(b"p2pd/1 link", DIGEST)},
        "listen": ADDRESS + NODE + EXPIRES_S.to_bytes(4, "big"),
        "padded": {"plaintext": b"hello", "size": 32, "bytes": b"\x00\x00\x00\x05hello".ljust(32, b"\0")},
    }


def _json(value: Any) -> Any:
    """JSON for a value: bytes are {"hex": …}, a format within a format is {"format": …, "fields": …}."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case Made():
            return {"format": value.name, "fields": _json(value.fields)}
        case dict():
            return {key: _json(item) for key, item in value.items()}
        case list():
            return [_json(item) for item in value]
        case _:
            return value


def document() -> dict[str, Any]:
    """All of tests/vectors/wire.json."""
    formats = [{**_json(made), "bytes": made.encode().hex()} for made in FORMATS]
    return {"formats": formats, "datagrams": _json(datagrams()), "texts": _json(texts()), "derived": _json(derived())}


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
