"""Key compromise impersonation: who has stolen the victim's own keys poses to the victim as the victim's friend (R19).

By link the thief forges a hello in the friend's name, and goes on with every key that can be guessed; by mailbox the
thief puts into it what a session begun in the friend's name seals, and says under it that a request comes from them.
The thief has the victim's identity key; every other time the device's key as well, which is more than was promised.
"""

from contextlib import ExitStack
from dataclasses import replace
from random import Random

from p2pd import limits
from p2pd.chat import pairs
from p2pd.crypto.first_contact import SignedBundle, begin
from p2pd.crypto.handshake import Initiator, Responder, _labelled
from p2pd.crypto.keys import SigningKey, exchange_public, x25519
from p2pd.crypto.prekeys import PrekeyPublic
from p2pd.crypto.ratchet import Ratchet
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.peer.own import certified_device
from p2pd.types import DeviceKey, MessageId
from p2pd.wire.content import Acknowledgement, Content, Text
from p2pd.wire.envelope import Envelope, FirstContact, envelope_binding
from p2pd.wire.person import DeviceCertificate, DeviceContent
from tests.cast import START, Person, after, friends
from tests.chance import SeededRandom
from tests.crypto.test_kci import _Forger
from tests.secrecy.line import Line, Measure

SEQUENCE = 1
"""The number that the victim waits for."""


def run(count: int, seed: int) -> Line:
    """`count` tries by link and as many by mailbox; with the friend's own key both ways must succeed."""
    with ExitStack() as stack:
        friend, victim = friends(stack)
        chance = Random(seed)
        links = sum(_link(victim, friend, number, chance) for number in range(count))
        mails = sum(_mailbox(victim, friend, number, chance) for number in range(count))
        control = _link_as(victim.keys.device, friend.keys.device, SeededRandom(seed))
        control += _says(victim, friend, friend.keys.device, chance)
        return Line(
            "kci",
            2 * count,
            [
                Measure("succeed by link", links, most=0),
                Measure("succeed by mailbox", mails, most=0),
                Measure("ways succeed with the friend's own key", control, least=2),
            ],
        )


def _stolen(victim: Person, number: int) -> SigningKey:
    return victim.keys.device if number % 2 else victim.keys.identity


def _link(victim: Person, friend: Person, number: int, chance: Random) -> bool:
    """Whether the victim takes the thief for the friend, called by the thief or calling them."""
    random = SeededRandom(chance.random())
    thief, stolen = SigningKey(random.bytes(32)), _stolen(victim, number)
    prologue = random.bytes(32)
    if number % 4 >= 2:
        return _answered(victim.keys.device, friend.keys.device_key, (stolen, thief), prologue, random)
    claimed = exchange_public(friend.keys.device_key)
    forger = _Forger(stolen, claimed, _labelled(prologue), random)
    forger._peer_static = exchange_public(victim.keys.device_key)
    responder = Responder(victim.keys.device, prologue, random)
    try:
        responder.receive(forger.write_first(friend.keys.certificate.encode()))
    except PeerError:
        return False
    reply = responder.reply(b"welcome")
    for guess in (x25519(stolen.exchange_secret, claimed), x25519(thief.exchange_secret, reply[:32]), bytes(32)):
        sending, _ = forger.guess_transport(reply, guess)
        try:
            responder.transport().unseal(sending.encrypt(b"it is I"))
        except PeerError:
            continue
        return True
    return False


def _answered(
    caller: SigningKey, wanted: DeviceKey, keys: tuple[SigningKey, ...], prologue: bytes, random: SeededRandom
) -> bool:
    """Whether the victim, who calls the friend, takes an answer of the thief's."""
    initiator = Initiator(caller, wanted, prologue, random)
    hello = initiator.hello(b"")
    for key in keys:
        responder, decoy = Responder(key, prologue, random), Initiator(caller, DeviceKey(key.public), prologue, random)
        try:
            responder.receive(hello)
        except PeerError:
            responder = Responder(key, prologue, random)
            responder.receive(decoy.hello(b""))  # the best that the thief can answer with is another's answer
        try:
            initiator.finish(responder.reply(b""))
        except PeerError:
            initiator = Initiator(caller, wanted, prologue, random)
            hello = initiator.hello(b"")
            continue
        return True
    return False


def _link_as(victim: SigningKey, friend: SigningKey, random: SeededRandom) -> bool:
    """Whether the friend gets in, so that it is not the means that fail."""
    initiator, responder = Initiator(friend, victim.public, b"p", random), Responder(victim, b"p", random)
    responder.receive(initiator.hello(b""))
    initiator.finish(responder.reply(b""))
    return responder.transport().unseal(initiator.transport().seal(b"it is I")) == b"it is I"


def _mailbox(victim: Person, friend: Person, number: int, chance: Random) -> bool:
    """Whether the victim shows a text in the friend's name, or takes a device of the thief's for theirs."""
    thief = SigningKey(chance.randbytes(32))
    stolen = _stolen(victim, number) if number % 4 < 2 else thief
    return _says(victim, friend, stolen, chance) or _takes_a_device(victim, friend, thief, number)


def _says(victim: Person, friend: Person, device: SigningKey, chance: Random) -> bool:
    """Whether the victim hears the friend say what somebody else seals with a device key."""
    heard = len(victim.acted)
    victim.inbox.on_envelope(victim.contact(friend), _forged(victim, friend, device, chance), "mailbox", START)
    victim.inbox.on_timer(after(limits.DAY_S))
    return len(victim.acted) > heard


def _forged(victim: Person, friend: Person, device: SigningKey, chance: Random) -> bytes:
    """An envelope as the friend would begin a session, by who has the victim's keys and anything of the friend's that
    is public."""
    signed = victim.profile_device().prekey
    prekey = victim.prekey(1).public()
    public = PrekeyPublic(prekey.id, prekey.x25519, prekey.kem)
    bundle = SignedBundle(signed.content, signed.signature)
    started = begin(device, friend.identity, victim.identity, victim.keys.device_key, public, bundle)
    claimed = replace(started.header, device=friend.keys.device_key)
    header = FirstContact(
        claimed.suite, DeviceKey(claimed.device), claimed.ephemeral, claimed.prekey_id, claimed.one_time_id,
        claimed.kem_ciphertext,
    ).encode()  # fmt: skip
    associated = started.associated
    if chance.random() < 0.5:  # as the victim will put it together
        associated = associated.replace(device.public, friend.keys.device_key, 1)
    session = chance.randbytes(16)
    ratchet = Ratchet.begin(started.secret, public.x25519, associated)
    acknowledged = Acknowledgement(friend.outbox.counters(victim.identity).epoch, bytes(8), 0)
    said = Content(MessageId(chance.randbytes(16)), START.wall_ms << 16, acknowledged, Text(b"it is I").encode())
    top, ciphertext = ratchet.encrypt(said.encode(), envelope_binding(session, SEQUENCE, header))
    return Envelope(session, SEQUENCE, top.public, top.previous, top.number, ciphertext, header).encode()


def _takes_a_device(victim: Person, friend: Person, thief: SigningKey, number: int) -> bool:
    """Whether a certificate that the thief can make moves the friend to the thief's device."""
    content = DeviceContent(friend.identity, DeviceKey(thief.public), START.wall_s + number).encode()
    certificate = DeviceCertificate(content, _stolen(victim, number).sign(Domain.SIGN_DEVICE, content))
    try:
        certified_device(certificate, friend.identity)
        pairs.with_device(victim.keys, victim.contact(friend), certificate, START)
    except PeerError:
        return False
    return True
