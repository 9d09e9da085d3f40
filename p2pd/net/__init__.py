"""The node's one UDP socket, QUIC on it, and the driver that turns what arrives into turns of the engine."""
