"""What is remembered of conversations is what the database would say."""

import random
from contextlib import suppress

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Direction, Message, MessageState, Step
from tests.storage.samples import LARGER, SMALLER, message, message_id, user_store


def forget(store: SqliteUserStore) -> None:
    for table in store._turns._tables:
        table.forget()


def seen(store: SqliteUserStore, said: dict[int, Message]) -> list[object]:
    """All that is said of where messages stand."""
    newest = [store.newest_messages(contact, 3) for contact in (LARGER, SMALLER)]
    return [newest, {number: store.position(known) for number, known in said.items()}]


def change(store: SqliteUserStore, said: dict[int, Message], chance: random.Random, number: int) -> None:
    """Something that happens to a conversation."""
    match chance.randrange(8):
        case 0 if said:
            gone = chance.choice(sorted(said))
            store.remove_message(said[gone].contact, said.pop(gone).message)
        case 1 if said:
            read = chance.choice(sorted(said))
            said[read] = replace(said[read], state=MessageState.DELIVERED)
            store.save_message(said[read])
        case _:
            contact, direction = chance.choice((LARGER, SMALLER)), chance.choice(list(Direction))
            said[number] = message(number, contact, clock=chance.randrange(500), direction=direction)
            store.save_message(said[number])


@pytest.mark.parametrize("seed", range(3))
def test_the_end_of_a_conversation_is_remembered_right(seed: int) -> None:
    chance, store = random.Random(seed), user_store()
    said: dict[int, Message] = {}
    for turn in range(130):
        with store.transaction():
            for number in range(4 * turn, 4 * turn + 4):
                before = dict(said)
                with suppress(ZeroDivisionError), store.attempt():
                    change(store, said, chance, number)
                    if chance.randrange(5) == 0:
                        raise ZeroDivisionError
                    before = said
                said = before
                seen(store, said)
        remembered = seen(store, said)
        forget(store)
        assert seen(store, said) == remembered
    assert len(said) > 2 * limits.CONVERSATION_END
    store.close()


def test_a_request_is_found_before_and_after_it_is_written() -> None:
    store = user_store()
    with store.transaction():
        store.save_message(message(1, request_id="mine"))
        found = store.message_by_request("mine")
    assert found == store.message_by_request("mine") == message(1, request_id="mine")
    assert store.message_by_request("another") is None
    store.close()


def test_a_message_keeps_how_it_began_and_what_came_last() -> None:
    store = user_store()
    with store.transaction():
        for number in range(100):
            before = store.message(message_id(1), contact=LARGER) or message(1)
            store.save_message(before.went(Step(number, "retry")))
    forget(store)
    newest = range(100 - limits.STEPS_NEWEST, 100)
    assert [step.at_ms for step in store.steps(message_id(1))] == [*range(limits.STEPS_FIRST), *newest]
    store.close()
