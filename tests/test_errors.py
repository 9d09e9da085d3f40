"""The exit codes and names that scripts rely on."""

import inspect

import pytest

from p2pd import errors
from p2pd.errors import P2pdError, PeerError, StorageError

EXIT_CODES = {
    errors.P2pdError: 70,
    errors.FailedError: 1,
    errors.UsageError: 2,
    errors.NotFoundError: 4,
    errors.AmbiguousError: 4,
    errors.RefusedError: 5,
    errors.TimeUpError: 6,
    errors.NoNetworkError: 7,
    errors.QuotaError: 8,
    errors.LockedError: 9,
    errors.HomeInUseError: 10,
    errors.StorageError: 12,
    errors.DamagedError: 13,
    errors.ForeignHomeError: 15,
}
ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, P2pdError)]


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES.items())
def test_exit_codes(kind: type[P2pdError], code: int) -> None:
    assert kind.exit_code == code


def test_every_error_has_its_exit_code_here_but_those_of_other_nodes() -> None:
    assert {kind for kind in ALL if not issubclass(kind, PeerError)} == set(EXIT_CODES)


def test_names_are_distinct() -> None:
    named = [kind for kind in ALL if "code" in vars(kind)]
    assert len({kind.code for kind in named}) == len(named)


def test_distinct_exit_codes_but_where_one_kind_is_the_other() -> None:
    ours = [kind for kind in EXIT_CODES if kind is not errors.AmbiguousError]
    assert len({kind.exit_code for kind in ours}) == len(ours)


def test_an_error_keeps_its_text_and_hint() -> None:
    error = StorageError("the disk is full", hint="free some space")
    assert (str(error), error.message, error.hint) == ("the disk is full", "the disk is full", "free some space")


def test_a_peer_error_keeps_its_reason_apart() -> None:
    assert (str(PeerError("malformed", "why")), PeerError("malformed", "why").reason) == ("malformed: why", "malformed")
    assert str(PeerError("malformed")) == "malformed"
