"""Writes tests/vectors/crypto.json with the second implementation alone: python -m tests.second.make_vectors.

The ML-KEM ciphertext comes from a library that draws its own chance, so a run keeps the one that is in the file.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from tests.second import curve, protocol

FILE = Path(__file__).parents[1] / "vectors" / "crypto.json"


def named(name: str, size: int = 32) -> bytes:
    """Bytes that anyone can make again from a name."""
    return b"".join(sha256(f"{name} {i}".encode()).digest() for i in range(size // 32))


def blinding() -> list[dict[str, Any]]:
    cases = []
    for number, (purpose, secret, day) in enumerate([(b"profile", b"", 20_000), (b"presence", named("S"), 20_454)]):
        seed = named(f"identity {number}")
        message = named("message")
        cases.append(
            {
                "seed": seed,
                "identity": curve.public_key(seed),
                "purpose": purpose,
                "secret": secret,
                "day": day,
                "public": protocol.blind_public(curve.public_key(seed), purpose, secret, day),
                "message": message,
                "signature": protocol.blind_sign(seed, purpose, secret, day, "sign single", message),
            }
        )
    return cases


def pair() -> dict[str, Any]:
    one, other = named("device one"), named("device other")
    one_public, other_public = curve.public_key(one), curve.public_key(other)
    zero = protocol.pair_zero(one, other_public)
    return {
        "seeds": [one, other],
        "zero": zero,
        "day": 20_454,
        "addresses": [protocol.pair_address(zero, one_public, other_public, 20_454, index) for index in (0, 1)],
        "back": protocol.pair_address(zero, other_public, one_public, 20_454, 0),
        "ring": protocol.ring_tag(zero, one_public, other_public, 20_454, 2),
        "datagram": protocol.shared_key("datagram", one, other_public),
        "message": named("message"),
        "signature": protocol.sign(one, "sign prekeys", named("message")),
    }


def first_contact(kem_ciphertext: bytes | None) -> dict[str, Any]:
    initiator, recipient = named("initiator device"), named("recipient device")
    identities = named("initiator identity"), named("recipient identity")
    prekey, kem_seed, one_time = named("prekey"), named("kem", 64), named("one-time")
    kem = MLKEM768PrivateKey.from_seed_bytes(kem_seed)
    ciphertext = kem_ciphertext or kem.public_key().encapsulate()[1]
    header = {
        "device": curve.public_key(initiator),
        "ephemeral": curve.x25519_public(named("ephemeral")),
        "prekey_id": 7,
        "one_time_id": 9,
        "kem_ciphertext": ciphertext,
    }
    secret, associated = protocol.recipient_secret(recipient, prekey, kem_seed, one_time, identities, header)
    visible = b"\x01" + protocol.u32(7) + curve.x25519_public(named("fresh")) + ciphertext
    agreement = curve.x25519(named("fresh"), curve.x25519_public(prekey))
    outer_key = protocol.outer_key(agreement, kem.decapsulate(ciphertext), visible)
    plaintext, nonce = b"may I write to you?", named("nonce")[:24]
    inside = header["device"] + header["ephemeral"] + protocol.u32(9) + plaintext
    return {
        "recipient_seed": recipient,
        "identities": list(identities),
        "prekey": prekey,
        "kem_seed": kem_seed,
        "kem_public": kem.public_key().public_bytes_raw(),
        "one_time": one_time,
        "header": header,
        "secret": secret,
        "associated": associated,
        "plaintext": plaintext,
        "blob": visible + nonce + protocol.xchacha_seal(outer_key, nonce, inside, visible),
    }


def ratchet(contact: dict[str, Any]) -> dict[str, Any]:
    """The first messages of the session that the first contact begins, one of them missing."""
    own, message = named("ratchet"), named("message associated")
    public = curve.x25519_public(own)
    _, chain = protocol.root_step(contact["secret"], own, curve.x25519_public(contact["prekey"]))
    messages = []
    for number in (0, 2):
        cipher, nonce = protocol.message_cipher(protocol.message_key(chain, number))
        plaintext = f"message {number}".encode()
        associated = protocol.message_associated(contact["associated"], message, public, 0, number)
        ciphertext = cipher.encrypt(nonce, plaintext, associated)
        messages.append({"number": number, "plaintext": plaintext, "ciphertext": ciphertext})
    return {"ratchet": own, "public": public, "previous": 0, "associated": message, "messages": messages}


def signatures() -> dict[str, Any]:
    """One message under every label that signs."""
    seed, message = named("signer"), named("message")
    kinds = ("single", "item", "open item", "tombstone", "receipt", "listen", "device", "prekeys")
    labels = [f"sign {kind}" for kind in kinds]
    return {"seed": seed, "message": message, "by": {label: protocol.sign(seed, label, message) for label in labels}}


def sealed() -> dict[str, Any]:
    """The keys of what is sealed in records, and a body of mail."""
    identity, secret, day = curve.public_key(named("identity")), named("contact secret"), 20_454
    sender, recipient = curve.public_key(named("device one")), curve.public_key(named("device other"))
    pair_secret, item, envelope = named("pair secret"), named("item")[:16], named("envelope", 96)
    address = protocol.pair_address(pair_secret, sender, recipient, day, 0)
    mail_key = protocol.label_hash("pair seal", sender, recipient, key=pair_secret)
    nonce = protocol.label_hash("mail nonce", address, item, envelope, size=24)
    return {
        "identity": identity,
        "day": day,
        "profile_key": protocol.label_hash("profile seal", identity, protocol.u32(day)),
        "contact_secret": secret,
        "presence_key": protocol.label_hash("presence seal", identity, protocol.u32(day), key=secret),
        "public_presence_key": protocol.label_hash("presence seal", identity, protocol.u32(day)),
        "devices": [sender, recipient],
        "pair_secret": pair_secret,
        "mail_key": mail_key,
        "item": item,
        "envelope": envelope,
        "body": protocol.sealed_body(mail_key, nonce, envelope, address, 256),
    }


def stamp() -> dict[str, Any]:
    challenge, nodes = named("challenge"), [curve.public_key(named(f"node {n}")) for n in range(8)]
    nonces = [number.to_bytes(8, "big") for number in range(32)]
    return {
        "challenge": challenge,
        "bits": [protocol.stamp_bits("stamp", challenge, nonce) for nonce in nonces],
        "nodes": nodes,
        "node_bits": [protocol.stamp_bits("node puzzle", node, b"") for node in nodes],
    }


def _hex(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hex(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hex(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def lan() -> dict[str, Any]:
    secret, salt, identity = named("contact secret"), named("salt")[:16], curve.public_key(named("identity"))
    return {"secret": secret, "salt": salt, "identity": identity, "tag": protocol.lan_tag(secret, salt, identity)}


def vectors() -> str:
    """The whole file."""
    kept = json.loads(FILE.read_text())["first_contact"]["header"]["kem_ciphertext"] if FILE.exists() else ""
    contact = first_contact(bytes.fromhex(kept) or None)
    made = {
        "blinding": blinding(),
        "pair": pair(),
        "first_contact": contact,
        "ratchet": ratchet(contact),
        "signatures": signatures(),
        "sealed": sealed(),
        "stamp": stamp(),
        "lan": lan(),
    }
    return json.dumps(_hex(made), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(vectors())
