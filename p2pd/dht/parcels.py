"""How the records of one put travel: together in few datagrams, or by few exchanges that pass in fragments too."""

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
    """Few datagrams where they will do, else few exchanges."""
    parcels = _filled(records, BODY_ROOM_BYTES, limits.RECEIPTS_PER_PACKET)
    largest = max(len(record.data) + _RECORD_HEAD_BYTES for record in records)
    if largest > BODY_ROOM_BYTES - _STORE_OVERHEAD_BYTES or len(parcels) > limits.PUT_PACKETS:
        return [Parcel(few, False) for few in _filled(records, limits.FRAGMENTED_BYTES, limits.RECORDS_PER_REQUEST)]
    return [Parcel(parcel, True) for parcel in parcels]


def _filled(records: Sequence[VerifiedRecord], body_bytes: int, most: int) -> list[list[VerifiedRecord]]:
    """In order, as many together as such a body holds."""
    parcels: list[list[VerifiedRecord]] = [[]]
    room = body_bytes - _STORE_OVERHEAD_BYTES
    for record in records:
        size = len(record.data) + _RECORD_HEAD_BYTES
        if parcels[-1] and (room < size or len(parcels[-1]) >= most):
            parcels.append([])
            room = body_bytes - _STORE_OVERHEAD_BYTES
        parcels[-1].append(record)
        room -= size
    return parcels
