"""The protocol's cryptography a second time, written from the text of the protocol and importing nothing of p2pd.

Only ML-KEM-768, ChaCha20-Poly1305 and Argon2id come from a library.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.second import curve


def framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def label_hash(label: str, *parts: bytes, size: int = 32, key: bytes = b"") -> bytes:
    data = framed(b"p2pd/1 " + label.encode(), *parts)
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


def hkdf(secret: bytes, info: bytes, size: int = 32, salt: bytes = bytes(32)) -> bytes:
    """RFC 5869 with SHA-256; up to 64 bytes."""
    extracted = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    return (first + hmac.digest(extracted, first + info + b"\x02", "sha256"))[:size]


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def signed_bytes(label: str, message: bytes) -> bytes:
    return framed(b"p2pd/1 " + label.encode()) + message


def sign(seed: bytes, label: str, message: bytes) -> bytes:
    return curve.sign_with(*curve.expand(seed), curve.public_key(seed), signed_bytes(label, message))


def blind_factor(identity: bytes, purpose: bytes, secret: bytes, day: int) -> int:
    wide = label_hash("blind", identity, purpose, secret, u32(day), size=64)
    return int.from_bytes(wide, "little") % curve.L


def blind_public(identity: bytes, purpose: bytes, secret: bytes, day: int) -> bytes:
    return curve.encode(curve.multiply(blind_factor(identity, purpose, secret, day), curve.decode(identity)))


def blind_sign(seed: bytes, purpose: bytes, secret: bytes, day: int, label: str, message: bytes) -> bytes:
    scalar, prefix = curve.expand(seed)
    factor = blind_factor(curve.public_key(seed), purpose, secret, day)
    blinded = factor * scalar % curve.L
    blinded_prefix = label_hash("blind nonce", factor.to_bytes(32, "little"), key=prefix)
    public = curve.encode(curve.multiply(blinded, curve.BASE))
    return curve.sign_with(blinded, blinded_prefix, public, signed_bytes(label, message))


def exchange(own_seed: bytes, peer_public: bytes) -> bytes:
    scalar = hashlib.sha512(own_seed).digest()[:32]
    return curve.x25519(scalar, curve.montgomery(peer_public))


def shared_key(label: str, own_seed: bytes, peer_public: bytes) -> bytes:
    keys = sorted((curve.public_key(own_seed), peer_public))
    return label_hash(label, *keys, key=exchange(own_seed, peer_public))


def pair_zero(own_seed: bytes, peer_public: bytes) -> bytes:
    return shared_key("pair secret, generation 0", own_seed, peer_public)


def pair_address(pair_secret: bytes, sender: bytes, recipient: bytes, day: int, index: int) -> bytes:
    seed = label_hash("pair address", sender, recipient, u32(day), u32(index), key=pair_secret)
    return curve.public_key(seed)


def ring_tag(pair_secret: bytes, sender: bytes, recipient: bytes, day: int, index: int) -> bytes:
    return label_hash("ring", sender, recipient, u32(day), u32(index), key=pair_secret, size=16)


def lan_tag(contact_secret: bytes, salt: bytes, identity: bytes) -> bytes:
    return label_hash("lan tag", salt, identity, key=contact_secret, size=8)


def x3dh(agreements: list[bytes]) -> bytes:
    return hkdf(b"\xff" * 32 + b"".join(agreements), b"p2pd/1 x3dh")


def first_contact_secret(agreed: bytes, kem_secret: bytes, suite: int, associated: bytes, *rest: bytes) -> bytes:
    label = b"p2pd/1 first contact, suite 1"
    return hkdf(agreed + kem_secret, framed(label, bytes([suite]), associated, *rest))


def recipient_secret(
    device_seed: bytes,
    prekey_secret: bytes,
    kem_seed: bytes,
    one_time_secret: bytes | None,
    identities: tuple[bytes, bytes],
    header: dict[str, bytes | int],
) -> tuple[bytes, bytes]:
    """The recipient's secret and associated bytes; `identities` are the initiator's and the recipient's."""
    initiator, ephemeral = header["device"], header["ephemeral"]
    device_scalar = hashlib.sha512(device_seed).digest()[:32]
    agreements = [
        curve.x25519(prekey_secret, curve.montgomery(initiator)),
        curve.x25519(device_scalar, ephemeral),
        curve.x25519(prekey_secret, ephemeral),
    ]
    if one_time_secret:
        agreements.append(curve.x25519(one_time_secret, ephemeral))
    associated = b"\x01" + identities[0] + initiator + identities[1] + curve.public_key(device_seed)
    kem_secret = MLKEM768PrivateKey.from_seed_bytes(kem_seed).decapsulate(header["kem_ciphertext"])
    ids = u32(header["prekey_id"]), u32(header["one_time_id"])
    bound = (*ids, ephemeral, header["kem_ciphertext"])
    return first_contact_secret(x3dh(agreements), kem_secret, 1, associated, *bound), associated


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha section 2.2."""
    state = [int.from_bytes((b"expand 32-byte k" + key + nonce)[i : i + 4], "little") for i in range(0, 64, 4)]
    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for _ in range(10):
        for a, b, c, d in columns + diagonals:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) % 2**32
                mixed = state[z] ^ state[x]
                state[z] = (mixed << turn | mixed >> 32 - turn) % 2**32
    return b"".join(word.to_bytes(4, "little") for word in state[:4] + state[12:])


def xchacha_unseal(key: bytes, nonce: bytes, box: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], box, associated)


def xchacha_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plaintext, associated)


def outer_key(fresh_agreement: bytes, kem_secret: bytes, visible: bytes) -> bytes:
    return hkdf(fresh_agreement + kem_secret, framed(b"p2pd/1 first contact, outer seal, suite 1", visible))


def open_request(prekey_secret: bytes, kem_seed: bytes, blob: bytes) -> tuple[bytes, dict[str, bytes | int], bytes]:
    """The outer key, the header and the plaintext of a contact request."""
    visible, nonce, box = blob[:1125], blob[1125:1149], blob[1149:]
    fresh, ciphertext = visible[5:37], visible[37:]
    kem_secret = MLKEM768PrivateKey.from_seed_bytes(kem_seed).decapsulate(ciphertext)
    key = outer_key(curve.x25519(prekey_secret, fresh), kem_secret, visible)
    inside = xchacha_unseal(key, nonce, box, visible)
    header = {
        "device": inside[:32],
        "ephemeral": inside[32:64],
        "prekey_id": int.from_bytes(visible[1:5], "big"),
        "one_time_id": int.from_bytes(inside[64:68], "big"),
        "kem_ciphertext": ciphertext,
    }
    return key, header, inside[68:]


def root_step(root: bytes, own: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    """The next root key and a chain key, from a ratchet secret of one end and the ratchet key of the other."""
    wide = hkdf(curve.x25519(own, theirs), b"p2pd/1 ratchet root", 64, salt=root)
    return wide[:32], wide[32:]


def message_key(chain: bytes, number: int) -> bytes:
    """Of a chain's message of this number, from 0."""
    label = b"p2pd/1 ratchet chain"
    for _ in range(number):
        chain = hmac.digest(chain, label + b"\x02", "sha256")
    return hmac.digest(chain, label + b"\x01", "sha256")


def message_cipher(key: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    """A message's cipher and nonce."""
    derived = hkdf(key, framed(b"p2pd/1 ratchet message"), 44)
    return ChaCha20Poly1305(derived[:32]), derived[32:]


def message_associated(session: bytes, message: bytes, ratchet: bytes, previous: int, number: int) -> bytes:
    """What a message authenticates, with the session's associated data and its own."""
    return framed(session, message, ratchet + u32(previous) + u32(number))


def padded(plaintext: bytes, size: int) -> bytes:
    return (u32(len(plaintext)) + plaintext).ljust(size, b"\0")


def sealed_body(key: bytes, nonce: bytes, plaintext: bytes, address: bytes, size: int) -> bytes:
    return nonce + xchacha_seal(key, nonce, padded(plaintext, size - 40), address)


def stamp_bits(label: str, challenge: bytes, nonce: bytes) -> int:
    salt = label_hash(label, challenge, size=16)
    function = Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=1024)
    digits = bin(int.from_bytes(b"\x01" + function.derive(label_hash(label, challenge, nonce)), "big"))[3:]
    return len(digits) - len(digits.lstrip("0"))
