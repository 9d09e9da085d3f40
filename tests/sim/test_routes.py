"""Packets, links and requests through routers, and hosts that get another address."""

import pytest

from p2pd import limits
from p2pd.effects import OpenLink, Request, Respond, SendDatagram, SendFrame
from p2pd.sim.nat import KINDS, Carried, is_translated
from p2pd.sim.resident import Resident
from p2pd.sim.routes import Network
from p2pd.sim.town import Town
from p2pd.store import MessageState
from p2pd.types import Endpoint
from tests.sim.machines import DATAGRAM, A, B, C, Stagehand, key_of, seed_of

INSIDE = "192.168.1.2"
AT_B = Endpoint(B, 4_242)
RESTRICTED = ("port-restricted", "symmetric", "double-nat", "hairpin-off", "firewalled")


class Homes(Stagehand):
    """B and C are in the open; the others each behind a router of their own, which has the host's name as address."""

    def __init__(self, *kinds: str) -> None:
        super().__init__(B, C)
        self.homes: list[str] = []
        self.networks: dict[str, Network] = {}
        for number, kind in enumerate(kinds):
            host = f"10.7.0.{number + 1}"
            self.homes.append(host)
            network = self.networks[host] = self.world.behind(kind, host)
            self.world.add(host, address=INSIDE if is_translated(kind) else host, network=network)
            self.start(host)

    def send(self, host: str, to: Endpoint) -> list[Endpoint]:
        """A datagram; where those at the other end see it come from."""
        for puppet in self.nodes.values():
            puppet.machine.told.clear()
        self.want(host, SendDatagram(to, DATAGRAM))
        self.world.run(0.1)
        return [
            source
            for puppet in self.nodes.values()
            for _, source in puppet.machine.heard("on_datagram")
            if isinstance(source, Endpoint)
        ]

    def seen(self, host: str) -> Endpoint:
        """Where B sees the host, which has written to it."""
        (endpoint,) = self.send(host, AT_B)
        return endpoint


class TestDatagrams:
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "udp-blocked"])
    def test_a_host_behind_a_router_writes_and_is_answered(self, kind: str) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        seen = stage.seen(home)
        assert seen.host == home
        assert stage.send(B, seen) == [AT_B]
        assert stage[home].heard("on_datagram") == [(DATAGRAM, AT_B)]

    @pytest.mark.parametrize(
        ("kind", "let_in"),
        [("public", True), ("full-cone", True), ("address-restricted", False), *((kind, False) for kind in RESTRICTED)],
    )
    def test_a_stranger_is_let_in_or_not(self, kind: str, let_in: bool) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        seen = stage.seen(home)
        assert bool(stage.send(C, seen)) == let_in
        assert stage.world.counts["datagram to nobody"] == (not let_in)

    def test_nothing_leaves_where_udp_is_blocked(self) -> None:
        stage = Homes("udp-blocked")
        assert not stage.send(stage.homes[0], AT_B)

    def test_an_address_inside_means_something_in_its_own_network_only(self) -> None:
        stage = Homes("port-restricted", "port-restricted")
        one, other = stage.homes
        assert not stage.send(B, Endpoint(INSIDE, 4_242))
        stage.seen(one)
        stage.seen(other)
        # both are 192.168.1.2 at home: each reaches itself
        assert stage.send(one, Endpoint(INSIDE, 4_242)) == [Endpoint(INSIDE, 4_242)]
        assert stage[one].heard("on_datagram")
        assert not stage[other].heard("on_datagram")

    def test_two_port_restricted_ones_meet_once_both_have_written(self) -> None:
        stage = Homes("port-restricted", "port-restricted")
        one, other = stage.homes
        at_one, at_other = stage.seen(one), stage.seen(other)
        assert not stage.send(one, at_other)
        assert stage.send(other, at_one) == [at_other]
        assert stage.send(one, at_other) == [at_one]

    def test_a_symmetric_one_and_a_port_restricted_one_do_not_meet(self) -> None:
        stage = Homes("symmetric", "port-restricted")
        one, other = stage.homes
        at_one, at_other = stage.seen(one), stage.seen(other)
        for _ in range(3):
            assert not stage.send(one, at_other)
            assert not stage.send(other, at_one)

    def test_a_symmetric_one_and_an_address_restricted_one_meet(self) -> None:
        stage = Homes("symmetric", "address-restricted")
        one, other = stage.homes
        at_one, at_other = stage.seen(one), stage.seen(other)
        assert not stage.send(other, at_one)
        (from_one,) = stage.send(one, at_other)
        assert from_one != at_one
        assert stage.send(other, from_one) == [at_other]


class TestOneRouterForMany:
    @pytest.mark.parametrize(("kind", "hairpins"), [("port-restricted", True), ("hairpin-off", False)])
    def test_two_behind_one_router_see_each_other_inside_and_outside_only_by_hairpinning(
        self, kind: str, hairpins: bool
    ) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        second = "10.7.1.1"
        stage.world.add(second, address="192.168.1.3", network=stage.networks[home])
        stage.start(second)
        at_home, at_second = stage.seen(home), stage.seen(second)
        assert at_home.host == at_second.host == home
        assert at_home.port != at_second.port
        assert stage.send(home, Endpoint("192.168.1.3", 4_242)) == [Endpoint(INSIDE, 4_242)]
        assert not stage.send(home, at_second)
        assert stage.send(second, at_home) == ([at_second] if hairpins else [])

    def test_two_homes_of_one_carrier_meet_by_its_address(self) -> None:
        stage = Homes("full-cone")
        (home,) = stage.homes
        carrier = stage.networks[home]
        hosts = ("10.7.1.1", "10.7.1.2")
        for number, host in enumerate(hosts):
            inside = stage.world.behind("port-restricted", f"100.64.0.{number + 3}", carrier)
            stage.world.add(host, address=INSIDE, network=inside)
            stage.start(host)
        one, other = (stage.seen(host) for host in hosts)
        assert one.host == other.host == home
        assert not stage.send(hosts[0], other)
        assert stage.send(hosts[1], one) == [other]
        assert stage.send(hosts[0], other) == [one]


class TestLinks:
    def dial(self, stage: Stagehand, host: str, to: Endpoint, node: str) -> bool:
        """Whether the link comes up."""
        before = len(stage[host].heard("on_link_opened"))
        stage.want(host, OpenLink(1, key_of(node), (to,)))
        stage.world.run(limits.DIAL_S + 1)
        return len(stage[host].heard("on_link_opened")) > before

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("blocked")])
    def test_a_link_outwards_opens_and_carries_both_ways(self, kind: str) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        assert self.dial(stage, home, AT_B, B)
        theirs, node, endpoint, *_ = stage[B].heard("on_link_opened")[0]
        assert (node, endpoint.host) == (key_of(home), home)  # type: ignore[attr-defined]
        assert stage[home].heard("on_link_opened")[0][2] == AT_B
        stage.want(home, SendFrame(1, b"out"))
        stage.want(B, SendFrame(theirs, b"in"))  # type: ignore[arg-type]
        stage.world.run(1)
        assert stage[B].heard("on_frame") == [(theirs, b"out")]
        assert stage[home].heard("on_frame") == [(1, b"in")]

    @pytest.mark.parametrize("kind", ["quic-blocked", "udp-blocked"])
    def test_no_link_and_no_request_where_quic_is_blocked(self, kind: str) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        assert not self.dial(stage, home, AT_B, B)
        assert stage[home].heard("on_link_failed") == [(1, "no answer")]
        stage.want(home, Request(2, key_of(B), AT_B, seed_of(home), b"question"))
        stage.world.run(limits.EXCHANGE_S + 1)
        assert stage[home].heard("on_response") == [(2, None)]
        assert not stage[B].heard("on_request")

    @pytest.mark.parametrize(("kind", "let_in"), [("full-cone", True), ("port-restricted", False)])
    def test_a_link_inwards_opens_where_strangers_are_let_in(self, kind: str, let_in: bool) -> None:
        stage = Homes(kind)
        (home,) = stage.homes
        seen = stage.seen(home)
        assert self.dial(stage, C, seen, home) == let_in

    def test_a_dial_succeeds_once_the_other_dials_too(self) -> None:
        stage = Homes("port-restricted", "port-restricted")
        one, other = stage.homes
        at_one, at_other = stage.seen(one), stage.seen(other)
        stage.want(one, OpenLink(1, key_of(other), (at_other,)))
        stage.world.run(0.5)
        assert not stage[one].heard("on_link_opened")
        assert self.dial(stage, other, at_one, one)

    def test_a_quiet_link_keeps_its_mapping(self) -> None:
        stage = Homes("port-restricted")
        (home,) = stage.homes
        stage.link(home, B)
        stage.world.run(3_600)
        assert not stage[home].heard("on_link_closed")
        theirs = stage[B].heard("on_link_opened")[0][0]
        stage.want(B, SendFrame(theirs, b"still there"))  # type: ignore[arg-type]
        stage.world.run(1)
        assert stage[home].heard("on_frame") == [(1, b"still there")]

    def test_a_diallers_link_outlives_its_routers_restart(self) -> None:
        stage = Homes("symmetric")
        (home,) = stage.homes
        stage.link(home, B)
        router = stage.networks[home].router
        assert router is not None
        router.restart()
        theirs = stage[B].heard("on_link_opened")[0][0]
        stage.want(B, SendFrame(theirs, b"in"))  # type: ignore[arg-type]
        stage.world.run(1)
        assert not stage[home].heard("on_frame")
        stage.want(home, SendFrame(1, b"out"))
        stage.world.run(5)
        assert stage[B].heard("on_frame")
        assert stage[home].heard("on_frame") == [(1, b"in")]

    def test_an_acceptors_link_dies_of_its_routers_restart(self) -> None:
        stage = Homes("full-cone")
        (home,) = stage.homes
        seen = stage.seen(home)
        assert self.dial(stage, C, seen, home)
        router = stage.networks[home].router
        assert router is not None
        router.restart()
        stage.world.run(limits.KEEPALIVE_S + limits.UNANSWERED_S + 1)
        assert stage[C].heard("on_link_closed") == [(1, "no answer")]
        assert len(stage[home].heard("on_link_closed")) == 1

    @pytest.mark.parametrize(("kind", "answered"), [("port-restricted", True), ("symmetric", True)])
    def test_requests_pass_outwards(self, kind: str, answered: bool) -> None:
        stage = Homes(kind)
        (home,) = stage.homes

        def answer(name: str, facts: tuple[object, ...]) -> None:
            if name == "on_request":
                stage[B].wants.append(Respond(facts[0], b"answer"))  # type: ignore[arg-type]

        stage[B].on_input = answer
        stage.want(home, Request(2, key_of(B), AT_B, seed_of(home), b"question"))
        stage.world.run(1)
        assert stage[home].heard("on_response") == [(2, b"answer")]
        (_, _, endpoint, _), *_ = stage[B].heard("on_request")
        assert endpoint.host == home  # type: ignore[attr-defined]


class TestAddresses:
    def test_a_process_is_told_where_it_is_before_anything_else(self) -> None:
        stage = Stagehand()
        assert stage[A].addresses == [(0.0, (Endpoint(A, 4_242),))]
        home = Homes("port-restricted")
        assert home[home.homes[0]].addresses == [(0.0, (Endpoint(INSIDE, 4_242),))]

    def test_it_is_told_again_after_a_sleep_a_move_and_a_rebuilding(self) -> None:
        stage = Stagehand()
        stage.world.sleep(A)
        stage.world.run(100)
        stage.world.wake(A)
        assert stage[A].addresses[1:] == [(pytest.approx(0.0), (Endpoint(A, 4_242),))]
        stage.world.move(A, "10.4.0.4")
        assert stage[A].addresses[2:] == [(pytest.approx(0.0), (Endpoint("10.4.0.4", 4_242),))]
        stage.world.rebuild(A)
        stage.world.run(1)
        assert [endpoints for _, endpoints in stage[A].addresses] == [(Endpoint("10.4.0.4", 4_242),)]

    @pytest.mark.parametrize("fault", ["stall", "sleep"])
    def test_one_that_is_not_run_learns_of_a_move_when_it_is(self, fault: str) -> None:
        stage = Stagehand()
        if fault == "stall":
            stage.world.stall(A, 10)
        else:
            stage.world.sleep(A)
        stage.world.move(A, "10.4.0.4")
        stage.world.run(5)
        assert len(stage[A].addresses) == 1
        stage.world.run(6)
        stage.world.wake(A)
        assert [endpoints for _, endpoints in stage[A].addresses[1:]] == [(Endpoint("10.4.0.4", 4_242),)]

    def test_what_is_sent_to_the_old_address_is_lost_and_another_may_take_it(self) -> None:
        stage = Stagehand(A, B, C)
        with pytest.raises(ValueError, match="taken"):
            stage.world.add("10.5.5.5", address=A)
        stage.world.move(A, "10.4.0.4")
        stage.want(B, SendDatagram(Endpoint(A, 4_242), DATAGRAM), SendDatagram(Endpoint("10.4.0.4", 4_242), DATAGRAM))
        stage.world.run(1)
        assert len(stage[A].heard("on_datagram")) == 1
        stage.world.move(C, A)
        stage.want(B, SendDatagram(Endpoint(A, 4_242), DATAGRAM))
        stage.world.run(1)
        assert len(stage[C].heard("on_datagram")) == 1

    def test_a_diallers_link_survives_its_move(self) -> None:
        stage = Homes("port-restricted")
        (home,) = stage.homes
        stage.link(home, B)
        stage.world.move(home, "10.4.0.4")
        stage.want(home, SendFrame(1, b"from elsewhere"))
        stage.world.run(1)
        theirs = stage[B].heard("on_link_opened")[0][0]
        stage.want(B, SendFrame(theirs, b"back"))  # type: ignore[arg-type]
        stage.world.run(100)
        assert stage[B].heard("on_frame") == [(theirs, b"from elsewhere")]
        assert stage[home].heard("on_frame") == [(1, b"back")]
        assert not stage[home].heard("on_link_closed")

    def test_an_acceptors_link_does_not(self) -> None:
        stage = Stagehand()
        stage.link(A, B)
        stage.world.move(B, "10.4.0.4")
        theirs = stage[B].heard("on_link_opened")[0][0]
        stage.want(B, SendFrame(theirs, b"lost"))  # type: ignore[arg-type]
        stage.world.run(limits.KEEPALIVE_S + limits.UNANSWERED_S + 1)
        assert not stage[A].heard("on_frame")
        assert stage[A].heard("on_link_closed") == [(1, "no answer")]
        assert len(stage[B].heard("on_link_closed")) == 1


class TestMailThroughRouters:
    """A reader hears at once what is stored for them, however long nothing has passed their router."""

    def people(self, kind: str, seed: int = 1) -> tuple[Town, Resident, Resident]:
        """A writer who has no links with anybody, and a reader behind such a router."""
        town = Town(seed, servers=24, private=False)
        writer, reader = town.friends("firewalled", kind)
        writer.block(Carried.QUIC)
        town.world.run(900)
        return town, writer, reader

    @pytest.mark.slow
    def test_a_quiet_reader_is_told_at_once(self) -> None:
        town, writer, reader = self.people("port-restricted")
        for text in ("one", "two"):
            sent = writer.send("bob", text)
            town.until(lambda text=text: text in reader.received("alice"), 5)  # type: ignore[misc]
            town.until(lambda sent=sent: writer.state(sent) is MessageState.DELIVERED, 5)  # type: ignore[misc]
            town.world.run(900)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [1, 5])
    def test_one_who_could_not_be_told_is_told_when_they_ask_again(self, seed: int) -> None:
        town, writer, reader = self.people("port-restricted", seed)
        reader.block(*Carried)
        writer.send("bob", "missed")
        town.world.run(300)
        assert "missed" not in reader.received("alice")
        reader.block()
        town.until(lambda: "missed" in reader.received("alice"), limits.LISTEN_RENEW_S * 1.2)

    @pytest.mark.slow
    def test_a_reader_who_moves_is_told_where_they_are(self) -> None:
        town, writer, reader = self.people("port-restricted")
        town.move(reader, "symmetric")
        town.world.run(10)
        writer.send("bob", "moved")
        town.until(lambda: "moved" in reader.received("alice"), 5)
