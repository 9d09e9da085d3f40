"""The models of the ratchet libraries, which stand on a class of ours instead of pydantic's."""

import pytest

from p2pd.crypto.ratchet_libraries import DiffieHellmanRatchetModel, KDFChainModel, Model, SymmetricKeyRatchetModel


def test_a_model_holds_what_it_was_given() -> None:
    chain = KDFChainModel(length=3, key=bytes(32))
    assert (chain.length, chain.key, chain.version) == (3, bytes(32), "1.0.0")


def test_what_is_given_goes_before_the_default() -> None:
    assert KDFChainModel(length=0, key=b"", version="2").version == "2"


@pytest.mark.parametrize("fields", [{}, {"length": 1}, {"length": 1, "key": b"", "kay": b""}, {"lenth": 1, "key": b""}])
def test_a_model_has_all_its_fields_and_no_others(fields: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="KDFChainModel"):
        KDFChainModel(**fields)  # type: ignore[arg-type]


def test_the_libraries_models_are_ours() -> None:
    assert all(issubclass(model, Model) for model in (DiffieHellmanRatchetModel, SymmetricKeyRatchetModel))
