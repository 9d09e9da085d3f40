"""Forty nodes on real sockets, four copies of a record: so few that most nodes have nothing, and must look."""

import asyncio
from collections.abc import AsyncIterator, Callable
from statistics import median
from typing import Any

import pytest
import pytest_asyncio

from p2pd.application import Facts
from p2pd.dht.peers import node_id
from p2pd.engine import Engine
from p2pd.types import AddressKey, Now, RecordKey
from p2pd.wire.address import decode_letters, encode_address
from p2pd.wire.record import Family, record_key
from tests.swarm import Swarm, SwarmNode, swarm_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]
NODES = 40
REPLICAS = 4
KEYS = 20
WAITING = 100
WITHIN_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def swarm() -> AsyncIterator[Swarm]:
    """Built and taken down by one task, as its task group wants it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Swarm] = loop.create_future()
    over = asyncio.Event()

    async def hold() -> None:
        async with swarm_of(NODES, REPLICAS) as made:
            ready.set_result(made)
            await over.wait()

    holding = loop.create_task(hold())
    await asyncio.wait([ready, holding], return_when=asyncio.FIRST_COMPLETED)
    if holding.done():
        holding.result()
    yield ready.result()
    over.set()
    await holding


Start = Callable[[Engine, Now, Callable[[Any], None]], None]


async def answered(node: SwarmNode, start: Start) -> Any:
    """What an operation of several turns gives."""
    answer = asyncio.get_running_loop().create_future()
    await node.ask(lambda engine, now: start(engine, now, answer.set_result))
    async with asyncio.timeout(WITHIN_S):
        return await answer


async def put(node: SwarmNode, value: bytes) -> tuple[str, RecordKey]:
    """A record of a node's, as `dht get` and as the storers name it."""
    facts: Facts = await answered(node, lambda engine, now, then: engine.dht_put(value, 3600, now, then))
    assert facts["receipts"] >= facts["wanted"]
    return facts["key"], record_key(Family.SINGLE, AddressKey(decode_letters(facts["key"])))


def holders(swarm: Swarm, key: RecordKey) -> list[SwarmNode]:
    return [node for node in swarm.nodes if node.records.held(key)]


def nearest(swarm: Swarm, key: RecordKey) -> list[SwarmNode]:
    """All nodes, by the distance of their places from the key's."""
    place = int.from_bytes(key, "big")
    return sorted(swarm.nodes, key=lambda node: node_place(node) ^ place)


def node_place(node: SwarmNode) -> int:
    return int.from_bytes(node_id(node.keys.node_key), "big")


async def test_the_nearest_hold_a_record_and_others_find_it(swarm: Swarm) -> None:
    messages, elapsed_ms, copies = [], [], []
    for number in range(KEYS):
        name, key = await put(swarm.nodes[number], b"value %d" % number)
        held = holders(swarm, key)
        ranked = nearest(swarm, key)
        assert set(ranked[:REPLICAS]) <= set(held), "none of the nearest is left out"
        assert set(held) <= set(ranked[: 2 * REPLICAS + 1]), "stand-ins of who was slow are the next nearest"
        copies.append(len(held))
        for reader in (node for node in swarm.nodes[::7] if node not in held):
            found = await answered(reader, lambda engine, now, then: engine.dht_get(name, now, then))  # noqa: B023
            assert found["value"] == b"value %d" % number
            messages.append(found["messages"])
            elapsed_ms.append(found["elapsed_ms"])
        assert holders(swarm, key) == held, "reading leaves no copy"
    print(f"copies: {copies}; {len(messages)} reads: {median(messages)} messages, {median(elapsed_ms):.1f} ms")
    assert min(copies) >= REPLICAS
    assert median(copies) <= REPLICAS + 1, "more only where a holder was slow, or many nodes happen to be near a key"
    assert median(messages) < NODES / 2


async def test_who_knows_no_holder_takes_two_hops(swarm: Swarm) -> None:
    first = swarm.servers[:3]
    names = {}
    while len(names) < 5:
        name, key = await put(swarm.nodes[5], b"far away")
        if not set(first) & set(holders(swarm, key)):
            names[name] = key
    hops = [found["rounds"] for name, key in names.items() if (found := await read_as_newcomer(swarm, name, key))]
    print(f"hops of newcomers: {hops}")
    assert len(hops) >= 3
    assert min(hops) >= 2


async def read_as_newcomer(swarm: Swarm, name: str, key: RecordKey) -> Facts | None:
    """Looks up as soon as any node is known; None where a holder is known by then."""
    held = {str(node.endpoint) for node in holders(swarm, key)}
    answer: asyncio.Future[Facts | None] = asyncio.get_running_loop().create_future()
    newcomer = await swarm.add()

    def look(engine: Engine, now: Now) -> bool:
        known = {peer["endpoint"] for peer in engine.peers(now)}
        if known & held:
            answer.set_result(None)
        elif known:
            engine.dht_get(name, now, answer.set_result)
        return bool(known)

    async with asyncio.timeout(WITHIN_S):
        while not await newcomer.ask(look):  # in the turns between the others: nothing tells when it knows a node
            pass
        found = await answer
    assert not newcomer.records.held(key) or newcomer in nearest(swarm, key)[:REPLICAS]
    return found


async def test_a_message_for_who_is_absent_is_stored_by_few(swarm: Swarm) -> None:
    alice, bob = await swarm.friends()
    await bob.stop()
    before = {node: set(node.records.keys_held()) for node in swarm.nodes}
    message = await alice.send("bob", "while you were out")
    await alice.until(lambda: alice.state(message) == "stored", WITHIN_S)
    holding = [node for node in swarm.nodes if set(node.records.keys_held()) - before[node]]
    print(f"{len(holding)} of {len(swarm.nodes)} nodes hold something new")
    assert 2 <= len(holding) <= len(swarm.nodes) / 2
    await alice.stop()
    await bob.start()
    await bob.until(lambda: bob.received(alice) == ["while you were out"], WITHIN_S)
    await alice.start()
    await alice.until(lambda: alice.state(message) == "delivered", WITHIN_S)


async def test_who_returns_reads_a_hundred(swarm: Swarm) -> None:
    loop = asyncio.get_running_loop()
    alice, bob = await swarm.friends()
    await bob.stop()
    sent = [await alice.send("bob", f"number {number}") for number in range(WAITING)]
    began = loop.time()
    await alice.until(lambda: all(alice.state(message) == "stored" for message in sent), WITHIN_S)
    print(f"{WAITING} messages stored in {loop.time() - began:.2f} s")
    await alice.stop()
    began = loop.time()
    await bob.start()
    await bob.until(lambda: len(bob.received(alice)) == WAITING, WITHIN_S)
    print(f"{WAITING} messages read in {loop.time() - began:.2f} s")
    assert bob.received(alice) == [f"number {number}" for number in range(WAITING)]


async def test_a_newcomer_needs_a_link_only(swarm: Swarm) -> None:
    alice = await swarm.add()
    await swarm.settled([alice], REPLICAS)
    link = await alice.ask(lambda engine, now: engine.link(now))
    zoe = await Swarm(swarm.replicas, swarm.tasks).add()  # of a swarm that has nobody: she knows no node
    swarm.nodes.append(zoe)
    message = await zoe.send(link, "hello from nowhere")
    await alice.until(lambda: bool(alice.store.contacts()), WITHIN_S)
    address = encode_address(zoe.store.own_identity)  # type: ignore[arg-type]
    await alice.ask(lambda engine, now: engine.accept(address, now, name="zoe"))
    await zoe.until(lambda: zoe.state(message) == "delivered", WITHIN_S)
    answer = await alice.send("zoe", "welcome")
    await alice.until(lambda: alice.state(answer) == "delivered", WITHIN_S)
    assert alice.received(zoe) == ["hello from nowhere"]
    assert zoe.received(alice) == ["welcome"]
