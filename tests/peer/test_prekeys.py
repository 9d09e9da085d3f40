from contextlib import ExitStack

from p2pd import limits
from p2pd.crypto.keys import verify
from p2pd.domains import Domain
from p2pd.wire.person import PrekeyContent
from tests.cast import START, Person, after


def test_the_device_signs_the_newest(stack: ExitStack) -> None:
    person = Person("alice", stack)
    assert person.prekeys.rotates_ms() == 0
    signed = person.prekeys.publish(START)
    content = PrekeyContent.decode(signed.content)
    assert verify(person.keys.device_key, Domain.SIGN_PREKEYS, signed.content, signed.signature)
    public = person.prekey(content.id).public()
    assert (public.x25519, public.kem) == (content.exchange, content.kem)
    assert person.prekeys.rotates_ms() == START.wall_ms + limits.PREKEY_ROTATE_S * 1000


def test_a_new_one_comes_after_a_week(stack: ExitStack) -> None:
    person = Person("alice", stack)
    week = limits.PREKEY_ROTATE_S
    published = [
        PrekeyContent.decode(person.prekeys.publish(after(s)).content).id for s in (0, week - 1, week, week + 1)
    ]
    assert published == [1, 1, 2, 2]
    assert person.prekeys.find(1) is not None
    assert person.prekeys.find(3) is None
