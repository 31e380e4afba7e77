"""The configuration: asks the forwarder which rules hold and what the server requests.

Two ways: our forwarder holds a `TrackerPoll` open until something is new; any other forwarder answers upstream's
`AgentTaggedData`, which is asked every five minutes. The last configuration is kept in the state database, so
that the tracker works from it while nobody answers.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from whatchanged import ipc
from whatchanged.errors import OperationError, PeerError, RuleError
from whatchanged.rules import Variables
from whatchanged.tracker.plan import EXTENSION, Plan, make_plan
from whatchanged.tracker.sender import check_forwarder
from whatchanged.tracker.state import State
from whatchanged.wire import agent, framing

__all__ = ["Configuration"]

log = logging.getLogger(__name__)

_WAIT_SECONDS = 30
_RETRY_SECONDS = 2.0
_REPLY_BYTES = 16 * 1024 * 1024

_Reply = TypeVar("_Reply", agent.PollReply, agent.ConfigurationReply, agent.ResultReply)


class Configuration:
    """Owns the configuration connection and the plan in force."""

    def __init__(
        self,
        state: State,
        endpoint: ipc.Endpoint,
        *,
        forwarder_uid: ipc.AccountId,
        period: float,
        stop: threading.Event,
        on_plan: Callable[[Plan], None],
        on_request: Callable[[agent.PendingRequest], Mapping[str, Any]],
        variables: Callable[[], Variables],
    ) -> None:
        """`variables` reads what the machine sets for the paths of rules.

        `on_request` carries out a request of the back channel and returns its result; raises ValueError."""
        self._state = state
        self._endpoint = endpoint
        self._forwarder_uid = forwarder_uid
        self._period = period
        self._stop = stop
        self._on_plan = on_plan
        self._on_request = on_request
        self._variables = variables
        self._known = ""
        self.error = "not asked yet"
        self.plan = Plan()

    def load(self) -> None:
        """Take up the configuration that was in force last."""
        self._adopt(self._state.meta("configuration"), remember=False)

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stop.is_set():
            try:
                with ipc.connect(self._endpoint, 10.0) as channel:
                    check_forwarder(channel, self._forwarder_uid)
                    self._converse(channel)
            except OperationError as error:
                if not self.error:
                    log.warning("no configuration from the forwarder: %s", error)
                self.error = str(error)
                self._stop.wait(_RETRY_SECONDS)

    def _converse(self, channel: ipc.Channel) -> None:
        while not self._stop.is_set():
            request = agent.PollRequest(
                request_id=str(uuid.uuid4()), tag=EXTENSION, known=self._known, wait_seconds=_WAIT_SECONDS
            )
            reply = self._ask(channel, request, agent.PollReply, _WAIT_SECONDS + 10)
            if not reply.success:
                self._upstream(channel)
                continue
            self.error = ""
            if reply.tagged_data is not None:
                self._adopt(reply.tagged_data, remember=True)
                self._known = reply.version
            for asked in reply.requests:
                self._answer(channel, asked)

    def _upstream(self, channel: ipc.Channel) -> None:
        """Ask as upstream's extension does."""
        request = agent.ConfigurationRequest(request_id=str(uuid.uuid4()), tag=EXTENSION)
        reply = self._ask(channel, request, agent.ConfigurationReply, 30)
        self.error = "" if reply.success else reply.description or "the forwarder has no configuration"
        if reply.success:
            self._adopt(reply.tagged_data, remember=True)
        self._stop.wait(self._period)

    def _ask(self, channel: ipc.Channel, request: agent.AgentRequest, kind: type[_Reply], timeout: float) -> _Reply:
        """Return the reply: bare JSON without a length, so it ends where it parses."""
        channel.send(agent.encode_request(request))
        frames = framing.JsonFrames(_REPLY_BYTES)
        while part := channel.receive(65536, timeout):
            for reply in frames.feed(part):
                return agent.decode_reply(reply, kind)
        raise PeerError("the forwarder ended the conversation")

    def _answer(self, channel: ipc.Channel, asked: agent.PendingRequest) -> None:
        try:
            result: Mapping[str, Any] = self._on_request(asked)
            success = True
        except (OperationError, ValueError) as error:
            result, success = {"error": str(error)}, False
        answer = agent.RequestResult(request_id=str(uuid.uuid4()), id=asked.id, success=success, result=dict(result))
        self._ask(channel, answer, agent.ResultReply, 30)

    def _adopt(self, tagged_data: str, *, remember: bool) -> None:
        try:
            plan = make_plan(tagged_data, self._variables())
        except (RuleError, msgspec.DecodeError) as error:
            log.error("the configuration cannot be used, the last one stays in force: %s", error)
            self.error = str(error)
            return
        if plan.version != self.plan.version:
            self.plan = plan
            self._on_plan(plan)
        # A full disk does not keep a rule from working; it is remembered with a later answer.
        if remember and tagged_data != self._state.meta("configuration"):
            with self._state.transaction(limited=False) as change:
                change.set_meta("configuration", tagged_data)
