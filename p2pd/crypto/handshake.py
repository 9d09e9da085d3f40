"""The proof of two devices to each other inside a connection, initiator first (R18, R19): Noise IK.

| step | initiator                | responder                                                             |
|------|--------------------------|-----------------------------------------------------------------------|
| 1    | `hello(payload)` ->      | `receive`: who it claims to be; nothing was said to it yet            |
| 2    | `finish`: proven to us   | <- `reply(payload)`                                                   |
| 3    | `transport().seal()` ->  | `transport().unseal()`: only now is the initiator proven              |

A hello proves its sender only to someone whose device secret is still his own: who has stolen the responder's secret
can make a hello in any name (key compromise impersonation).  He cannot make step 3, which takes the claimed device's
secret and the responder's fresh key.  So a responder acts on nothing before step 3.

The static X25519 keys are the device keys' converted form.  A hello's payload names the initiator's Ed25519 device key;
`is_static_of` says whether it is the key that the handshake used, and the caller must ask.
The prologue is the caller's, and binds both TLS certificates.
"""

from p2pd.crypto.keys import SigningKey, equal, exchange_public
from p2pd.crypto.noise import CipherState, IkInitiator, IkResponder
from p2pd.domains import Domain, framed
from p2pd.errors import PeerError
from p2pd.types import RandomSource


class LinkCipher:
    """Seals and unseals what follows on the link, in order; after a PeerError the link is to be closed."""

    __slots__ = ("_receiving", "_sending")

    def __init__(self, sending: CipherState, receiving: CipherState) -> None:
        self._sending = sending
        self._receiving = receiving

    def seal(self, plaintext: bytes) -> bytes:
        """The next box, 16 bytes longer than the plaintext."""
        return self._sending.encrypt(plaintext)

    def unseal(self, box: bytes) -> bytes:
        """The plaintext of the peer's next box; PeerError for any other bytes."""
        return self._receiving.decrypt(box)


class Initiator:
    """The caller, who knows the device it wants; PeerError when that key is no good."""

    def __init__(self, device: SigningKey, peer_device: bytes, prologue: bytes, random: RandomSource) -> None:
        peer_static = exchange_public(peer_device)
        self._noise = IkInitiator(device.exchange_secret, peer_static, _labelled(prologue), random)

    def hello(self, payload: bytes) -> bytes:
        """The first message, 96 bytes longer than the payload; only the wanted device can read it."""
        return self._noise.write_first(payload)

    def finish(self, message: bytes) -> bytes:
        """The responder's payload, which proves it; PeerError, and the end of the handshake, for anything else."""
        return self._noise.read_second(message)

    def transport(self) -> LinkCipher:
        """The cipher of the link, after `finish`; its first box proves us to the responder."""
        sending, receiving = self._noise.split()
        return LinkCipher(sending, receiving)


class Responder:
    """Who is called: says nothing before a hello made for its device key has opened."""

    def __init__(self, device: SigningKey, prologue: bytes, random: RandomSource) -> None:
        self._noise = IkResponder(device.exchange_secret, _labelled(prologue), random)

    def receive(self, message: bytes) -> tuple[bytes, bytes]:
        """The claimed static X25519 key and the payload; PeerError when the hello is not for us."""
        return self._noise.read_first(message)

    def reply(self, payload: bytes) -> bytes:
        """The second message, 48 bytes longer than the payload; only the claimed device can read it."""
        return self._noise.write_second(payload)

    def transport(self) -> LinkCipher:
        """The cipher of the link, after `reply`; the first box that it unseals proves the initiator."""
        receiving, sending = self._noise.split()
        return LinkCipher(sending, receiving)


def is_static_of(device: bytes, static: bytes) -> bool:
    """Whether an X25519 key is the converted form of an Ed25519 device key; False for bytes that are no key."""
    try:
        return equal(exchange_public(device), static)
    except PeerError:
        return False


def _labelled(prologue: bytes) -> bytes:
    return framed((Domain.LINK.value, prologue))
