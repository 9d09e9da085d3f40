"""Domain labels: every signature, MAC and key under every other label, and at every verifier of the shipped code.

What verifies is tried with good bytes signed under each label: its own passes, all others must not.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.derivation import hkdf
from p2pd.crypto.keys import SigningKey, verify, verify_raw
from p2pd.crypto.sealing import seal, unseal
from p2pd.dht.alarms import Alarms
from p2pd.dht.listeners import Listeners
from p2pd.dht.peers import Peer
from p2pd.dht.questions import Question
from p2pd.dht.records import check_receipt, verified
from p2pd.domains import Domain, derive_key, domain_hash
from p2pd.errors import PeerError
from p2pd.peer.own import certified_device
from p2pd.peer.published import checked_prekey
from p2pd.types import AddressKey, DeviceKey, Endpoint, IdentityKey, ItemId, NodeKey
from p2pd.wire.person import DeviceCertificate, DeviceContent, PrekeyContent, ProfileDevice, SignedPrekey
from p2pd.wire.record import (
    Family,
    HolderKind,
    OpenItem,
    Receipt,
    ReceiptContent,
    Record,
    SetItem,
    Single,
    Tombstone,
)
from p2pd.wire.rpc import Listen, Listening, listen_bytes
from tests.cast import START
from tests.secrecy.line import Line, Measure

NONCE = bytes(24)
NO_RPC: Any = None
"""Who checks a signature sends nothing."""
Verifier = Callable[[Domain], object]
"""Checks something that was signed under the given label; raises PeerError, or returns False, where it refuses."""


def run(count: int, seed: int) -> Line:
    """`count` rounds, each with fresh keys and bytes."""
    chance = Random(seed)
    tried = accepted = own_refused = 0
    for _ in range(count):
        key = SigningKey(chance.randbytes(32))
        for own, verifier in _verifiers(key, chance).items():
            for domain in Domain:
                passes = _passes(verifier, domain)
                tried += domain is not own
                accepted += passes and domain is not own
                own_refused += not passes and domain is own
        for made, checked in ((made, checked) for made in Domain for checked in Domain if made is not checked):
            tried += 1
            accepted += _taken_for_another(key, made, checked, chance)
    return Line(
        "labels",
        tried,
        [Measure("taken under another label", accepted, most=0), Measure("refused under its own", own_refused, most=0)],
        [f"{len(Domain)} labels, {len(_verifiers(SigningKey(bytes(32)), chance))} verifiers of signatures"],
    )


def _passes(verifier: Verifier, domain: Domain) -> bool:
    try:
        return verifier(domain) is not False
    except PeerError:
        return False


def _taken_for_another(key: SigningKey, made: Domain, checked: Domain, chance: Random) -> bool:
    """Whether anything made under one label passes under another."""
    message, secret = chance.randbytes(40), chance.randbytes(32)
    blinded = blind_secret(key, b"profile", b"", 20_000) if chance.random() < 0.02 else key
    if verify(blinded.public, checked, message, blinded.sign(made, message)):
        return True
    if verify(blinded.public, checked, message, blinded.sign(made, checked.value + message)):
        return True
    if verify_raw(blinded.public, message, blinded.sign(made, message)):
        return True
    if any(derive(made, secret, message) == derive(checked, secret, message) for derive in (derive_key, hkdf)):
        return True
    if domain_hash(made, secret, message, size=16) == domain_hash(checked, secret, message, size=16):
        return True
    box = seal(derive_key(made, secret), NONCE, message, made.value)
    try:
        unseal(derive_key(checked, secret), NONCE, box, made.value)
    except PeerError:
        return False
    return True


def _verifiers(key: SigningKey, chance: Random) -> dict[Domain, Verifier]:
    """What checks signatures, each by the label that it wants."""
    contents = _contents(key, chance)
    records = {wanted: _record(key, content.encode()) for wanted, content in contents.items()}
    return records | {
        Domain.SIGN_RECEIPT: _receipt(key, chance.randbytes(32)),
        Domain.SIGN_LISTEN: _listen(key, NodeKey(chance.randbytes(32))),
        Domain.SIGN_DEVICE: _device(key, SigningKey(chance.randbytes(32))),
        Domain.SIGN_PREKEYS: _prekeys(SigningKey(chance.randbytes(32)), key, chance),
    }


def _contents(key: SigningKey, chance: Random) -> dict[Domain, Single | SetItem | OpenItem | Tombstone]:
    address, item = AddressKey(key.public), ItemId(chance.randbytes(16))
    return {
        Domain.SIGN_SINGLE: Single(address, 1, 2_000_000_000, b"body"),
        Domain.SIGN_ITEM: SetItem(address, item, 2_000_000_000, b"body"),
        Domain.SIGN_OPEN_ITEM: OpenItem(AddressKey(chance.randbytes(32)), 2_000_000_000, b"body", key.public),
        Domain.SIGN_TOMBSTONE: Tombstone(address, item, 2_000_000_000, Family.SET),
    }


def _record(key: SigningKey, content: bytes) -> Verifier:
    return lambda domain: verified(Record(content, key.sign(domain, content)).encode())


def _receipt(key: SigningKey, digest: bytes) -> Verifier:
    holder = NodeKey(key.public)
    content = ReceiptContent(digest, holder, HolderKind.NODE, 2_000_000_000).encode()

    def check(domain: Domain) -> None:
        check_receipt(Receipt(content, key.sign(domain, content)).encode(), digest, 2_000_000_000, holder)

    return check


def _listen(key: SigningKey, listener: NodeKey) -> Verifier:
    until_s = START.wall_s + 60

    def check(domain: Domain) -> object:
        signature = key.sign(domain, listen_bytes(key.public, listener, until_s))
        listen = Listen(AddressKey(key.public), until_s, signature)
        question = Question(Peer(listener, Endpoint("192.0.2.1", 4_242)), listen, True, True, key, 1_000)
        return isinstance(Listeners(NO_RPC, Alarms(), private=True).on_listen(listen, question, START), Listening)

    return check


def _device(identity: SigningKey, device: SigningKey) -> Verifier:
    content = DeviceContent(IdentityKey(identity.public), DeviceKey(device.public), 1).encode()

    def check(domain: Domain) -> None:
        certified_device(DeviceCertificate(content, identity.sign(domain, content)), IdentityKey(identity.public))

    return check


def _prekeys(identity: SigningKey, device: SigningKey, chance: Random) -> Verifier:
    owner = IdentityKey(identity.public)
    certified = DeviceContent(owner, DeviceKey(device.public), 1).encode()
    certificate = DeviceCertificate(certified, identity.sign(Domain.SIGN_DEVICE, certified))
    content = PrekeyContent(1, chance.randbytes(32), bytes(1_184), 1).encode()

    def check(domain: Domain) -> None:
        checked_prekey(owner, ProfileDevice(certificate, SignedPrekey(content, device.sign(domain, content))))

    return check
