"""What a connection is doing, and what it may do next.

A connection is in exactly one :class:`State`, and changes it only along ``TRANSITIONS``::

    NEW ─┐           ┌──────────────── the answer is written ───────────────┐
         ▼           ▼                                                      │
      a byte ──▶ HEAD ── the empty line ──▶ BODY ── its last byte ──▶ IN_HAND
         ▲         │                          │
    IDLE ┘         │                          └─ answered early ──▶ DROPPING ── last byte ──▶ IDLE
                   └─ refused, or after the last answer ──▶ LINGERING ──▶ CLOSED
"""

import enum


class State(enum.StrEnum):
    """What a connection is doing; a string, since its hash is taken for every change."""

    NEW = "new"  # nothing has come yet
    IDLE = "idle"  # a request has been answered, and nothing of another one has come
    HEAD = "head"  # a head is coming
    BODY = "body"  # a body is coming
    IN_HAND = "in hand"  # the request is complete, and its answer is awaited
    DROPPING = "dropping"  # the request is answered, and the rest of its body is dropped
    LINGERING = "lingering"  # the last answer is written, and what still comes is dropped
    CLOSED = "closed"


# Names of this module, since looking up a member of an enum costs several times as much.
NEW, IDLE, HEAD, BODY = State.NEW, State.IDLE, State.HEAD, State.BODY
IN_HAND, DROPPING, LINGERING, CLOSED = State.IN_HAND, State.DROPPING, State.LINGERING, State.CLOSED

TRANSITIONS: dict[State, frozenset[State]] = {
    NEW: frozenset({HEAD, LINGERING, CLOSED}),
    # To BODY and IN_HAND: a request whose head is known, in several pieces and in one.
    IDLE: frozenset({HEAD, BODY, IN_HAND, LINGERING, CLOSED}),
    HEAD: frozenset({BODY, LINGERING, CLOSED}),
    BODY: frozenset({IN_HAND, DROPPING, LINGERING, CLOSED}),
    IN_HAND: frozenset({IDLE, LINGERING, CLOSED}),
    DROPPING: frozenset({IDLE, LINGERING, CLOSED}),
    LINGERING: frozenset({CLOSED}),
    CLOSED: frozenset(),
}
