"""The X3DH and Double Ratchet libraries, without pydantic: the only file that imports the two.

They describe the state that they would write to disk as pydantic models.  We write states in a format of our own
(`ratchet_state`) and only pass the models on, so a class that holds what it was given is all that they need.
Rules: a model made here is checked for its names, not for its values; no value of a stranger's goes into one unchecked.
"""

from typing import Any

from p2pd.stand_ins import standing_in


class Model:
    """In the place of `pydantic.BaseModel`: an object with the annotated fields."""

    def __init_subclass__(cls) -> None:
        names = cls.__annotations__
        cls._defaults = {name: getattr(cls, name) for name in names if hasattr(cls, name)}
        cls._required = frozenset(names) - cls._defaults.keys()

    _defaults: dict[str, Any]
    _required: frozenset[str]

    def __init__(self, **values: Any) -> None:
        if values.keys() != self._required:
            values = self._defaults | values
            if values.keys() != self._required | self._defaults.keys():
                raise TypeError(f"{type(self).__name__} has other fields than {', '.join(values)}")
        self.__dict__ = values


def _unused(function: object) -> None:
    """For what annotates a field with how pydantic would read or write it."""


_PYDANTIC: dict[str, dict[str, object]] = {
    "pydantic": {"BaseModel": Model},
    "pydantic.functional_serializers": {"PlainSerializer": _unused},
    "pydantic.functional_validators": {"PlainValidator": _unused},
}

with standing_in(_PYDANTIC):
    import doubleratchet as doubleratchet
    import x3dh as x3dh
    from doubleratchet.models import DiffieHellmanRatchetModel as DiffieHellmanRatchetModel
    from doubleratchet.models import KDFChainModel as KDFChainModel
    from doubleratchet.models import SymmetricKeyRatchetModel as SymmetricKeyRatchetModel
    from doubleratchet.recommended import HashFunction as HashFunction
    from doubleratchet.recommended import kdf_hkdf as kdf_hkdf
    from x3dh.types import SecretType as SecretType
    from xeddsa.bindings import XEdDSAException as XEdDSAException
