"""Curve25519 in plain integers, after RFC 7748 and RFC 8032: slow, not constant time, and for tests only.

Imports nothing of p2pd; written from the RFCs.
"""

from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    x1, y1, x2, y2 = *a, *b
    product = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y3 = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x3, y3


def multiply(scalar: int, point: Point) -> Point:
    result = NEUTRAL
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def recover_x(y: int, sign: int) -> int:
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_MINUS_1 % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("not a point")
    return P - x if x & 1 != sign else x


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point:
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    return recover_x(y, sign), y


_BASE_Y = 4 * pow(5, -1, P) % P
BASE: Point = (recover_x(_BASE_Y, 0), _BASE_Y)


def clamp(scalar: bytes) -> int:
    number = int.from_bytes(scalar, "little")
    return number & (2**255 - 8) | 2**254


def expand(seed: bytes) -> tuple[int, bytes]:
    """RFC 8032 section 5.1.5: the scalar and the prefix."""
    digest = sha512(seed).digest()
    return clamp(digest[:32]), digest[32:]


def public_key(seed: bytes) -> bytes:
    return encode(multiply(expand(seed)[0], BASE))


def sign_with(scalar: int, prefix: bytes, public: bytes, message: bytes) -> bytes:
    """RFC 8032 section 5.1.6, from an expanded secret."""
    nonce = int.from_bytes(sha512(prefix + message).digest(), "little") % L
    commitment = encode(multiply(nonce, BASE))
    challenge = int.from_bytes(sha512(commitment + public + message).digest(), "little") % L
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    commitment, response = signature[:32], int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(sha512(commitment + public + message).digest(), "little") % L
    return response < L and multiply(response, BASE) == add(decode(commitment), multiply(challenge, decode(public)))


def montgomery(public: bytes) -> bytes:
    """The X25519 form of an Ed25519 public key (RFC 7748 section 4.1)."""
    _, y = decode(public)
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def x25519(scalar: bytes, public: bytes) -> bytes:
    """RFC 7748 section 5, the Montgomery ladder."""
    k, u = clamp(scalar), int.from_bytes(public, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, P) % P).to_bytes(32, "little")


NINE = (9).to_bytes(32, "little")


def x25519_public(secret: bytes) -> bytes:
    return x25519(secret, NINE)
