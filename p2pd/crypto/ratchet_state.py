"""The bytes in which a session's ratchet is kept: a version byte, then typed MessagePack.

| field      | what                                                                           |
|------------|--------------------------------------------------------------------------------|
| own        | own ratchet secret, 32 bytes                                                   |
| peer       | the peer's ratchet key, 32 bytes, or empty before its first message            |
| root       | root chain: steps, key                                                         |
| sending    | sending chain: steps, key                                                      |
| receiving  | receiving chain: steps, key; or nil                                            |
| previous   | length of the sending chain before this one, or nil                            |
| associated | what every message of the session authenticates                                |
| skipped    | the peer's ratchet key -> message number -> message key; oldest chain first    |
| retired    | the first 8 bytes of the peer's past ratchet keys, oldest first                |

Ours alone: never read from the network.  Bytes that do not fit are damage.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2pd.crypto.ratchet_libraries import DiffieHellmanRatchetModel, KDFChainModel, SymmetricKeyRatchetModel
from p2pd.errors import DamagedError
from p2pd.limits import RATCHET_RETIRED, RATCHET_SKIPPED, RATCHET_STATE_BYTES

RETIRED_SIZE = 8
_VERSION = 1

_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Count = Annotated[int, Meta(ge=0, lt=2**32)]
_Chain = tuple[_Count, _Key]
Skipped = dict[bytes, dict[int, bytes]]


class _State(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    own: _Key
    peer: Annotated[bytes, Meta(max_length=32)]
    root: _Chain
    sending: _Chain
    receiving: _Chain | None
    previous: _Count | None
    associated: Annotated[bytes, Meta(max_length=1024)]
    skipped: Annotated[dict[_Key, dict[_Count, _Key]], Meta(max_length=RATCHET_SKIPPED)]
    retired: Annotated[bytes, Meta(max_length=RATCHET_RETIRED * RETIRED_SIZE)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_State)


def encode(model: DiffieHellmanRatchetModel, associated: bytes, skipped: Skipped, retired: bytes) -> bytes:
    """The bytes of a ratchet's parts."""
    symmetric = model.symmetric_key_ratchet
    if symmetric.sending_chain is None:
        raise ValueError("a ratchet without a sending chain")
    state = _State(
        own=model.own_ratchet_priv,
        peer=model.other_ratchet_pub,
        root=_pair(model.root_chain),
        sending=_pair(symmetric.sending_chain),
        receiving=_pair(symmetric.receiving_chain) if symmetric.receiving_chain else None,
        previous=symmetric.previous_sending_chain_length,
        associated=associated,
        skipped=skipped,
        retired=retired,
    )
    return bytes([_VERSION]) + _encoder.encode(state)


def decode(data: bytes) -> tuple[DiffieHellmanRatchetModel, bytes, Skipped, bytes]:
    """The ratchet's parts; DamagedError when the bytes are not from `encode`."""
    if not 1 <= len(data) <= RATCHET_STATE_BYTES or data[0] != _VERSION:
        raise DamagedError("a session's state is of no version that we know", hint="restore the last backup")
    try:
        state = _decoder.decode(data[1:])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedError("a session's state is damaged", hint="restore the last backup") from error
    if len(state.peer) not in (0, 32) or sum(map(len, state.skipped.values())) > RATCHET_SKIPPED:
        raise DamagedError("a session's state is damaged", hint="restore the last backup")
    return _model(state), state.associated, state.skipped, state.retired


def _model(state: _State) -> DiffieHellmanRatchetModel:
    return DiffieHellmanRatchetModel(
        own_ratchet_priv=state.own,
        other_ratchet_pub=state.peer,
        root_chain=_chain(state.root),
        symmetric_key_ratchet=SymmetricKeyRatchetModel(
            receiving_chain=_chain(state.receiving) if state.receiving else None,
            sending_chain=_chain(state.sending),
            previous_sending_chain_length=state.previous,
        ),
    )


def _pair(chain: KDFChainModel) -> tuple[int, bytes]:
    return chain.length, chain.key


def _chain(pair: tuple[int, bytes]) -> KDFChainModel:
    return KDFChainModel(length=pair[0], key=pair[1])
