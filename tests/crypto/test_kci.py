"""Who has stolen a victim's keys cannot pose to the victim as somebody else (R19)."""

from copy import copy
from dataclasses import replace

import pytest

from p2pd.crypto.first_contact import accept, begin
from p2pd.crypto.handshake import Initiator, Responder, _labelled, is_static_of
from p2pd.crypto.keys import SigningKey, exchange_public, x25519, x25519_public
from p2pd.crypto.noise import IkInitiator
from p2pd.crypto.prekeys import new_prekey
from p2pd.crypto.ratchet import Ratchet
from p2pd.errors import PeerError, UndecryptableError
from tests.crypto.test_first_contact import signed

VICTIM, FRIEND, THIEF = SigningKey(b"v" * 32), SigningKey(b"f" * 32), SigningKey(b"t" * 32)
VICTIM_ID, FRIEND_ID = SigningKey(b"V" * 32).public, SigningKey(b"F" * 32).public


class _Forger(IkInitiator):
    """The initiator as one plays it who has the responder's secret, but not the secret of the key it claims."""

    def __init__(self, victim: SigningKey, claimed: bytes, prologue: bytes, random) -> None:
        super().__init__(b"t" * 32, exchange_public(victim.public), prologue, random)
        self._victim = victim
        self._claimed = claimed

    def write_first(self, payload: bytes) -> bytes:
        ephemeral = self._make_ephemeral()
        self._symmetric.mix_key(x25519(self._ephemeral, self._peer_static))
        sealed = self._symmetric.encrypt_and_hash(self._claimed)
        self._symmetric.mix_key(x25519(self._victim.exchange_secret, self._claimed))
        return ephemeral + sealed + self._symmetric.encrypt_and_hash(payload)

    def guess_transport(self, reply: bytes, guess: bytes):
        """The link's ciphers, were `guess` what the claimed key and the responder's fresh one agree on."""
        symmetric = copy(self._symmetric)
        symmetric.mix_hash(reply[:32])
        symmetric.mix_key(x25519(self._ephemeral, reply[:32]))
        symmetric.mix_key(guess)
        return symmetric.split()


def test_a_forged_hello_opens_but_its_maker_cannot_go_on(chance):
    claimed = exchange_public(FRIEND.public)
    forger = _Forger(VICTIM, claimed, _labelled(b"both certificates"), chance)
    responder = Responder(VICTIM, b"both certificates", chance)
    static, payload = responder.receive(forger.write_first(FRIEND.public))
    assert is_static_of(payload, static), "a hello alone proves nothing: this is the attack"
    reply = responder.reply(b"welcome")
    guesses = [x25519(VICTIM.exchange_secret, claimed), x25519(THIEF.exchange_secret, reply[:32]), bytes(32)]
    for guess in guesses:
        sending, _ = forger.guess_transport(reply, guess)
        with pytest.raises(PeerError):
            responder.transport().unseal(sending.encrypt(b"it is I"))


def test_the_same_forger_succeeds_when_the_claimed_key_is_its_own(chance):
    """That the attack above fails for want of the friend's secret, and not for a slip in the forger."""
    forger = _Forger(VICTIM, x25519_public(THIEF.exchange_secret), _labelled(b"p"), chance)
    responder = Responder(VICTIM, b"p", chance)
    responder.receive(forger.write_first(b""))
    reply = responder.reply(b"")
    sending, _ = forger.guess_transport(reply, x25519(THIEF.exchange_secret, reply[:32]))
    assert responder.transport().unseal(sending.encrypt(b"it is I")) == b"it is I"


def test_a_thief_cannot_answer_in_the_name_of_a_friend(chance):
    initiator = Initiator(VICTIM, FRIEND.public, b"p", chance)
    hello = initiator.hello(b"")
    for key in (VICTIM, THIEF):
        with pytest.raises(PeerError):
            Responder(key, b"p", chance).receive(hello)
    responder = Responder(THIEF, b"p", chance)
    responder.receive(Initiator(VICTIM, THIEF.public, b"p", chance).hello(b""))
    with pytest.raises(PeerError):
        initiator.finish(responder.reply(b""))


def test_first_contact_in_a_friends_name_opens_nothing(chance):
    """With the victim's identity and device secret, by mail: 100 tries of every kind the thief can make."""
    prekey = new_prekey(1, 0, chance)
    public = prekey.public()
    bundle = signed(public, device=VICTIM)
    for _ in range(25):
        for device in (THIEF, VICTIM):
            started = begin(device, FRIEND_ID, VICTIM_ID, VICTIM.public, public, bundle)
            forged = replace(started.header, device=FRIEND.public)
            ratchet = Ratchet.begin(started.secret, public.x25519, started.associated)
            header, ciphertext = ratchet.encrypt(b"it is I")
            accepted = accept(VICTIM, VICTIM_ID, FRIEND_ID, prekey, forged)
            for associated in (accepted.associated, started.associated):
                with pytest.raises(UndecryptableError):
                    Ratchet.accept(accepted.secret, prekey, associated).decrypt(header, ciphertext)
