"""The secrets that two devices share: which generation writes, which are read, when a new one is due.

Knows no network.  Rules: generation 0 follows from the device keys; the lower identity proposes a later one every
seven days; it writes with it once the other has acknowledged the proposal; both read an old one 45 days more, from when
they write with a later one themselves.  For dates ahead of the clock see `p2pd.peer.prekeys`.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from p2pd import limits
from p2pd.crypto.blinding import pair_address, pair_zero, ring_tag
from p2pd.crypto.keys import SigningKey
from p2pd.domains import Domain, derive_key
from p2pd.errors import PeerError
from p2pd.peer.own import OwnKeys, certified_device
from p2pd.store import Contact, PairSecret
from p2pd.types import DeviceKey, Now, RandomSource
from p2pd.wire.person import DeviceCertificate


@dataclass(frozen=True, slots=True)
class Direction:
    """One way between two devices, under one generation."""

    pair: PairSecret
    sender: DeviceKey
    recipient: DeviceKey

    def address(self, day: int, index: int) -> SigningKey:
        """The mailbox's key of a day."""
        return pair_address(self.pair.secret, self.sender, self.recipient, day, index)

    def used_on(self, day: int, today: int) -> bool:
        """Whether anyone can have written with it on that day: not before both had it, by a clock that is not set."""
        made = self.pair.made_ms // limits.DAY_MS
        return not self.pair.generation or made <= day + 1 or made > today + 1

    def seal_key(self) -> bytes:
        """What mail is sealed with."""
        return derive_key(Domain.PAIR_SEAL, self.pair.secret, self.sender, self.recipient)

    def ring(self, day: int, index: int) -> bytes:
        """The 16 bytes that say "look in this mailbox"."""
        return ring_tag(self.pair.secret, self.sender, self.recipient, day, index)


def with_generation_zero(own: OwnKeys, contact: Contact, now: Now) -> Contact:
    """The contact with the pair secret that follows from the devices' keys; anew where their device is another."""
    if contact.device is None:
        return contact
    zero = PairSecret(0, pair_zero(own.device, contact.device), now.wall_ms)
    if any(pair.generation == 0 and pair.secret == zero.secret for pair in contact.pair_secrets):
        return contact
    return replace(contact, pair_secrets=(zero,))


def with_device(own: OwnKeys, contact: Contact, certificate: DeviceCertificate, now: Now) -> Contact:
    """The contact with the device of a certificate of theirs.

    Raises:
        PeerError: the certificate is not theirs, or older than the one known: an old device must not come back.
    """
    content = certified_device(certificate, contact.identity)
    if contact.device == content.device:
        return contact
    if contact.certificate:
        known = certified_device(DeviceCertificate.decode(contact.certificate), contact.identity)
        if known.made_s >= content.made_s:
            raise PeerError("old_device")
    moved = replace(contact, device=content.device, certificate=certificate.encode())
    return with_generation_zero(own, moved, now)


def writing(own: OwnKeys, contact: Contact) -> Direction | None:
    """The way from us to them, under the newest generation that they are known to have."""
    usable = [pair for pair in contact.pair_secrets if pair.usable]
    if contact.device is None or not usable:
        return None
    return Direction(max(usable, key=lambda pair: pair.generation), own.device_key, contact.device)


def written(own: OwnKeys, contact: Contact, generation: int) -> Direction | None:
    """The way from us to them under an earlier generation; None where that is gone."""
    pair = next((pair for pair in contact.pair_secrets if pair.generation == generation), None)
    return Direction(pair, own.device_key, contact.device) if pair is not None and contact.device is not None else None


def reading(own: OwnKeys, contact: Contact) -> list[Direction]:
    """The ways from them to us, the newest generation first."""
    if contact.device is None:
        return []
    newest_first = sorted(contact.pair_secrets, key=lambda pair: -pair.generation)
    return [Direction(pair, contact.device, own.device_key) for pair in newest_first]


def due_proposal(own: OwnKeys, contact: Contact, random: RandomSource, now: Now) -> PairSecret | None:
    """A new generation where it is ours to propose one and the newest is a week old."""
    if own.identity_key > contact.identity or not contact.pair_secrets:
        return None
    newest = max(contact.pair_secrets, key=lambda pair: pair.generation)
    rotated = newest.generation and abs(now.wall_ms - newest.made_ms) < limits.PAIR_ROTATE_S * 1000
    if rotated or not newest.usable:
        return None
    return PairSecret(newest.generation + 1, random.bytes(32), now.wall_ms, usable=False)


def with_pair(contact: Contact, pair: PairSecret, now: Now) -> Contact:
    """The contact with a new or changed generation; one that is usable retires those before it."""
    others = [known for known in contact.pair_secrets if known.generation != pair.generation]
    if pair.usable:
        others = [_retired(known, now) if 0 < known.generation < pair.generation else known for known in others]
    newest = sorted([*others, pair], key=lambda known: known.generation)
    if len(newest) > limits.PAIR_GENERATIONS:
        newest = [*newest[:1], *newest[1 - limits.PAIR_GENERATIONS :]]
    return replace(contact, pair_secrets=tuple(newest))


def without_old(contact: Contact, now: Now) -> Contact:
    """The contact without the generations that nobody writes with any more."""
    kept = tuple(
        replace(pair, retired_ms=min(pair.retired_ms, now.wall_ms))
        for pair in contact.pair_secrets
        if not pair.retired_ms or now.wall_ms - pair.retired_ms < limits.PAIR_READ_S * 1000
    )
    return replace(contact, pair_secrets=kept) if kept != contact.pair_secrets else contact


def _retired(pair: PairSecret, now: Now) -> PairSecret:
    """Retired now, unless it was before; not before it was made, whatever the clock says."""
    return pair if pair.retired_ms else replace(pair, retired_ms=max(now.wall_ms, pair.made_ms))
