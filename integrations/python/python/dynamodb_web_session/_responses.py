"""What the frameworks answer when a call fails."""

from __future__ import annotations

from .exceptions import (
    ChangedError,
    NotFoundError,
    RenewedTooOftenError,
    SessionError,
    TooManySessionsError,
    UnavailableError,
)

ANSWERS: dict[type[SessionError], tuple[int, str]] = {
    UnavailableError: (503, "The session store is unavailable."),
    TooManySessionsError: (409, "You are logged in too often. Log out elsewhere first."),
    NotFoundError: (400, "The session has ended before the request was completed."),
    ChangedError: (409, "Other requests have changed the session meanwhile. Try again."),
    RenewedTooOftenError: (429, "The session was renewed too often. Try again in a minute."),
}
ANSWERED = tuple(ANSWERS)

CLIENT_HEADERS = ("User-Agent", "Sec-CH-UA", "Sec-CH-UA-Platform")
"""What says where a request comes from, besides its address."""


def answer(error: SessionError) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of the answer to a request in which such an error was not caught."""
    status, text = ANSWERS[type(error)]
    return status, text, {"Retry-After": "1"} if status == 503 else {}
