"""Long data sealed in chunks: libsodium's secretstream, XChaCha20-Poly1305 (doc.libsodium.org, secretstream).

Chunks cannot be changed, left out, put elsewhere or cut off at the end without being noticed.
Rule: a key seals one stream.
"""

from nacl import bindings
from nacl.exceptions import RuntimeError as SodiumError

from p2pd.errors import PeerError

HEADER_SIZE = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
"""How much longer a sealed chunk is."""
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class Sealing:
    """The writing end; `header` stands before the chunks."""

    def __init__(self, key: bytes) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self.header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)

    def seal(self, chunk: bytes, associated: bytes = b"", *, last: bool = False) -> bytes:
        """The next chunk."""
        tag = _FINAL if last else _MESSAGE
        sealed: bytes = bindings.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, associated, tag)
        return sealed


class Opening:
    """The reading end."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def open(self, sealed: bytes, associated: bytes = b"") -> tuple[bytes, bool]:
        """The next chunk, and whether it is the last; PeerError where it is not what was sealed there."""
        if len(sealed) < OVERHEAD:
            raise PeerError("unsealable")
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(self._state, sealed, associated)
        except SodiumError as error:
            raise PeerError("unsealable") from error
        return chunk, tag == _FINAL
