"""Keys, blinding, sealing, first contact, ratchet, handshake, certificates, proof of work.

Sole importer of nacl, cryptography, doubleratchet and x3dh.  Works on bytes; formats are `wire`'s.
"""
