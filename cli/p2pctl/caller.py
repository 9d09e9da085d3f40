"""One command's way to the daemon: which home, how long to wait, what form of output, and the call itself.

Knows no method by name but the contact list, which completion and "did you mean" need.
Rule: the client is imported only when there is something to call.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2pd.errors import NotFoundError, P2pdError, TimeUpError

COMPLETION_S = 0.5
"""A shell's completion must not hang on a daemon that does."""
GLANCE_S = 10.0
"""What is only looked at is there in milliseconds; a daemon that takes longer hangs, or its machine does."""
REACH_AGAIN_S = 0.2
"""Between tries to reach a daemon that is being restarted."""


@dataclass(slots=True)
class Caller:
    """What the shared options say, and the daemon they lead to."""

    home: Path | None = None
    as_json: bool = False
    timeout_s: float | None = None

    def resolved_home(self) -> Path:
        """The home of this command, absolute; it need not exist."""
        from p2pd.places import resolve_home

        return resolve_home(self.home)

    def addressed(self, text: str) -> str:
        """What a text says to do, said for the home that was named in this command line, and not for the usual one."""
        if self.home is None or "p2pctl " not in text:
            return text
        import re
        from shlex import quote

        place = f"p2pctl --home {quote(str(self.home))} "
        return re.sub(r"\bp2pctl (?!--home)(?=[a-z])", lambda _: place, text)

    def call(self, method: str, /, *, within_s: float | None = None, **parameters: Any) -> Any:
        """The daemon's answer; parameters that are None are left out.

        Raises:
            P2pdError: what the daemon says, or that it does not answer; a name not found comes with the nearest known.
        """
        from p2pd import client

        try:
            within_s = self.timeout_s if within_s is None else within_s
            return client.call(method, home=self.home, answer_within_s=within_s, **parameters)
        except NotFoundError as error:
            error.hint = self._nearest(parameters) or error.hint
            raise

    def glance(self, method: str) -> Any:
        """The answer of a method that looks and does nothing; `TimeUpError` soon where the daemon hangs."""
        return self.call(method, within_s=self.within(GLANCE_S))

    def within(self, otherwise_s: float) -> float:
        """The seconds that --timeout gives, which may be 0; `otherwise_s` where it was not given."""
        return otherwise_s if self.timeout_s is None else self.timeout_s

    def call_before_wait(self, method: str, /, **parameters: Any) -> Any:
        """As `call`, before something is waited for: --timeout is for that, and a short one must not end this."""
        within_s = None if self.timeout_s is None else max(self.timeout_s, GLANCE_S)
        return self.call(method, within_s=within_s, **parameters)

    def rows(self, method: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """The daemon's answer where it is a list, bare or under the one key that holds it."""
        answer = self.call(method, **parameters)
        if isinstance(answer, dict):
            answer = next((value for value in answer.values() if isinstance(value, list)), [])
        return list(answer)

    def present(self) -> int:
        """The cursor of now: what is followed from here on misses nothing, and repeats nothing."""
        return int(self.call_before_wait("events", since="now")["cursor"])

    def follow(self, *, on_away: Callable[[str], None] | None = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Events without end, across restarts of the daemon, which `on_away` is told of.

        Unlike the client's, it acknowledges nothing: in a shell that is the reader's own step, `p2pctl ack`.

        Raises:
            NotRunningError: there is no daemon to begin with.
        """
        from p2pd import client

        position = client.Position(parameters)
        reached = False
        while True:
            try:
                with client.Connection(self.home) as connection:
                    reached = True
                    for event in connection.stream("events.follow", position):
                        for _acknowledgement in position.passed(event):
                            pass
                        yield event
            except client.NotRunningError:
                if not reached:
                    raise
            if on_away is not None:
                on_away("the daemon is away; waiting for it to come back")
            self._await_daemon()

    @contextmanager
    def deadline(self, seconds: float | None, message: str, hint: str = "") -> Iterator[None]:
        """Ends what is within it with a `TimeUpError` after so many seconds; never, for None.

        An alarm, and not a time-out of the socket: other people's events must not put it off.
        """
        import signal

        def ring(_number: int, _frame: object) -> None:
            raise TimeUpError(message, hint=hint)

        before = signal.signal(signal.SIGALRM, ring)
        # 0 would mean never.
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else max(seconds, 0.001))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def following(self, *, follow: bool) -> AbstractContextManager[None]:
        """What is within it goes on without end where it is to `follow`; --timeout, if given, is its end then."""
        seconds = self.timeout_s if follow else None
        return self.deadline(seconds, f"the {seconds:g} s of --timeout are over" if seconds is not None else "")

    def _await_daemon(self) -> None:
        import time

        from p2pd import client

        while True:
            try:
                client.Connection(self.home).close()
            except client.NotRunningError:
                time.sleep(REACH_AGAIN_S)
            else:
                return

    def contacts_known(self) -> list[dict[str, Any]]:
        """The contact list; empty where the daemon does not answer."""
        try:
            return self.rows("contact.list", within_s=COMPLETION_S)
        except P2pdError:
            return []

    def _nearest(self, parameters: dict[str, Any]) -> str:
        given = parameters.get("to") or parameters.get("name")
        if not isinstance(given, str):
            return ""
        from difflib import get_close_matches

        names = [str(contact.get("name")) for contact in self.contacts_known()]
        near = get_close_matches(given.removeprefix("@"), names, n=1)
        return f"did you mean {near[0]}?" if near else ""
