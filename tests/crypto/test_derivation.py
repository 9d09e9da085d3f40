from p2pd.crypto.derivation import hkdf
from p2pd.domains import Domain
from tests.second import protocol


def test_it_is_hkdf_of_the_label_and_the_parts():
    info = protocol.framed(b"p2pd/1 link", b"one", b"two")
    for size in (32, 44, 64):
        assert hkdf(Domain.LINK, b"secret", b"one", b"two", size=size) == protocol.hkdf(b"secret", info, size)


def test_label_parts_and_their_borders_count():
    given = [(Domain.LINK, b"a", b"b"), (Domain.LINK, b"ab", b""), (Domain.LINK, b"ab"), (Domain.STAMP, b"a", b"b")]
    assert len({hkdf(domain, b"secret", *parts) for domain, *parts in given}) == len(given)
