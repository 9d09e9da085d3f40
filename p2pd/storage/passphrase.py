"""How hard a passphrase is to guess: the parameters that stand beside whatever it opens.

    field         type   what
    salt          16 B   random
    memory_bytes  int    of Argon2id, 64 to 256 MiB
    passes        int    of Argon2id, 3 to 192

Knows nothing of what is opened.
Rules (R41): what was written by somebody else may not make guessing cheaper than `limits` says, nor opening take for
ever; a passphrase is bytes, as they were typed.
"""

import os
import time
from typing import Annotated

import msgspec

from p2pd import limits
from p2pd.crypto.passphrase import passphrase_key
from p2pd.domains import framed
from p2pd.errors import DamagedError, UsageError

_SALT = msgspec.Meta(min_length=limits.PASSPHRASE_SALT_BYTES, max_length=limits.PASSPHRASE_SALT_BYTES)


class Stretching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a guess costs."""

    salt: Annotated[bytes, _SALT]
    memory_bytes: int
    passes: int

    def key(self, passphrase: bytes, purpose: bytes) -> bytes:
        """The key for one purpose; takes `limits.PASSPHRASE_TRY_S` and more.

        Raises:
            DamagedError: the parameters are weaker than any that we write, or beyond all reason.
        """
        self.check()
        return passphrase_key(
            passphrase, self.salt, memory_bytes=self.memory_bytes, passes=self.passes, purpose=purpose
        )

    def check(self) -> None:
        """Refuses (DamagedError) parameters that nobody has chosen for good."""
        memory = limits.PASSPHRASE_MEMORY_BYTES <= self.memory_bytes <= limits.PASSPHRASE_MEMORY_MAX_BYTES
        if not memory or not limits.PASSPHRASE_PASSES <= self.passes <= limits.PASSPHRASE_PASSES_MAX:
            raise DamagedError(
                "what protects the passphrase is not what p2pd writes", hint="somebody may have changed it: put it back"
            )

    def associated(self) -> bytes:
        """What a box under the key is bound to."""
        return framed((self.salt, self.memory_bytes.to_bytes(8, "big"), self.passes.to_bytes(8, "big")))


def fresh_stretching() -> Stretching:
    """Parameters that cost a guess at least `limits.PASSPHRASE_TRY_S` on this machine; takes as long and more."""
    passes = limits.PASSPHRASE_PASSES
    while True:
        chosen = Stretching(os.urandom(limits.PASSPHRASE_SALT_BYTES), limits.PASSPHRASE_MEMORY_BYTES, passes)
        # The quicker of two: what the first use of so much memory costs, no later guess pays.
        cost_s = min(_cost_s(chosen), _cost_s(chosen))
        if cost_s >= limits.PASSPHRASE_TRY_S or passes * 2 > limits.PASSPHRASE_PASSES_MAX:
            return chosen
        passes *= 2


def _cost_s(stretching: Stretching) -> float:
    began = time.thread_time()
    stretching.key(b"", b"measuring")
    return time.thread_time() - began


def checked_passphrase(passphrase: bytes) -> bytes:
    """One that may be set; UsageError for one that is empty, very long, or cannot be typed everywhere."""
    if not passphrase:
        raise UsageError("the passphrase is empty", hint="give one; without any the home stays as it is")
    if len(passphrase) > limits.PASSPHRASE_BYTES:
        raise UsageError(f"a passphrase has at most {limits.PASSPHRASE_BYTES} bytes")
    try:
        passphrase.decode()
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not text in UTF-8", hint="p2pctl could not pass it on") from None
    return passphrase
