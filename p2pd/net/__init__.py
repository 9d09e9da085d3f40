"""The node's one UDP socket, QUIC on it, and the driver that turns what arrives into turns of the engine.

aioquic brings three libraries for certificates that an authority has signed.  Ours are nobody's: `crypto/certificate`
judges them, and aioquic is told to verify none (`connection`, verify_mode), so nothing of the three is ever used.
"""

from p2pd.stand_ins import standing_in

with standing_in({"certifi": {}, "service_identity": {}, "OpenSSL": {"crypto": None}}):
    import aioquic.tls  # noqa: F401  loaded here, before any module that needs it
