"""How the records of one put travel: together in few datagrams, or all by one exchange over QUIC."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pd import limits
from p2pd.dht.questions import BODY_ROOM_BYTES
from p2pd.dht.records import VerifiedRecord

_STORE_OVERHEAD_BYTES = 8
_RECORD_HEAD_BYTES = 3


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records that travel together."""

    records: list[VerifiedRecord]
    fits_datagram: bool


def parcels_of(records: Sequence[VerifiedRecord]) -> list[Parcel]:
    """Few datagrams where they will do, else all in one exchange."""
    parcels: list[list[VerifiedRecord]] = [[]]
    room = BODY_ROOM_BYTES - _STORE_OVERHEAD_BYTES
    for record in records:
        size = len(record.data) + _RECORD_HEAD_BYTES
        used = sum(len(other.data) + _RECORD_HEAD_BYTES for other in parcels[-1])
        if parcels[-1] and (used + size > room or len(parcels[-1]) >= limits.RECEIPTS_PER_PACKET):
            parcels.append([])
        parcels[-1].append(record)
    largest = max(len(record.data) + _RECORD_HEAD_BYTES for record in records)
    if largest > room or len(parcels) > limits.PUT_PACKETS:
        step = limits.RECORDS_PER_REQUEST
        return [Parcel(list(records[at : at + step]), False) for at in range(0, len(records), step)]
    return [Parcel(parcel, True) for parcel in parcels]
