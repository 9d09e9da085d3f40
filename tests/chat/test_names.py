import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.chat.names import checked_name, free_name, looks_alike, same_name
from p2pd.errors import UsageError
from p2pd.types import IdentityKey

SOMEONE = IdentityKey(b"i" * 32)


@pytest.mark.parametrize("text", ["bob", "@bob", " bob ", "Zoë", "李", "a.b_c-d+e", "7"])
def test_names_that_need_no_quoting(text: str) -> None:
    assert checked_name(text) == text.strip().removeprefix("@")


@pytest.mark.parametrize("text", ["", "@", "-x", "+x", "a b", "a/b", "p2p:x", "a\x1b[1m", "a\ud800", "x" * 51, "ﷺ"])
def test_names_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked_name(text)


def test_names_are_told_apart_without_case() -> None:
    assert same_name("Bob", "bOB")
    assert not same_name("bob", "rob")
    assert same_name("Jos\u00e9", "jose\u0301")


def test_a_taken_name_gets_a_number() -> None:
    assert free_name("bob", SOMEONE, ["Bob", "bob-2"]) == "bob-3"
    assert free_name("x" * 50, SOMEONE, ["x" * 45]) == "x" * 45 + "-2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bob", "b\u043eb"),
        ("Alice", "\u0410lice"),
        ("Ian", "lan"),
        ("Ian", "1an"),
        ("HELEN", "\u041d\u0395LEN"),
        ("marna", "mama"),
        ("paul", "\uff50aul"),
        ("\u0440\u043e\u0440", "pop"),
        ("alice", "al\u200bice"),
        ("alice", "\u202ealice"),
        ("alice", "alice\ufe0f"),
        ("alice", "alice\U000e0061"),
        ("bob", "bob\u3164"),
        ("bob", "b\u0966b"),
        ("Tim", "\u13a2im"),
        ("rob", "\ua4e3ob"),
        ("sid", "\ua731id"),
    ],
)
def test_names_that_look_alike_get_a_number(one: str, other: str) -> None:
    assert looks_alike(one, other)
    assert free_name(other, SOMEONE, [one]).endswith("-2")


@pytest.mark.parametrize("blank", ["\u115f", "\u1160", "\u3164", "\uffa0", "\u2800"])
def test_no_name_has_a_letter_that_shows_nothing(blank: str) -> None:
    with pytest.raises(UsageError):
        checked_name(f"bob{blank}")
    assert free_name(f"bob{blank}", SOMEONE, []) == "bob"
    assert free_name(blank, SOMEONE, []) == free_name("", SOMEONE, [])


@pytest.mark.parametrize(("one", "other"), [("bob", "rob"), ("Zoe", "Zo\u00eb"), ("\u0438\u0432\u0430\u043d", "ivan")])
def test_names_that_look_different_are_left_alone(one: str, other: str) -> None:
    assert not looks_alike(one, other)
    assert free_name(other, SOMEONE, [one]) == other


@given(st.text(max_size=limits.NAME_CHARS), st.lists(st.text(max_size=5), max_size=3))
def test_any_wish_becomes_a_name(wish: str, taken: list[str]) -> None:
    name = free_name(wish, SOMEONE, taken)
    assert checked_name(name) == name
    assert not any(same_name(name, other) for other in taken)
