"""The HTTP contract of the service on the Python package, so that the model and the histories of ``tests/service`` can be
driven through it::

    SESSION_HOST="python3 integrations/python/tests/host.py" cargo test -p tests -- guarantees::model guarantees::histories

A request says in ``x-clock`` what time it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dynamodb_web_session import (
    ChangedError,
    ManualClock,
    NotFoundError,
    RenewedTooOftenError,
    Session,
    SessionError,
    SessionManager,
    TooManySessionsError,
    UnavailableError,
)

STATUSES: dict[type[SessionError], int] = {
    NotFoundError: 404,
    ChangedError: 412,
    TooManySessionsError: 409,
    RenewedTooOftenError: 429,
    UnavailableError: 503,
}
Answer = tuple[int, str | None, dict[str, Any] | None]

clock = ManualClock(datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
clock_lock = threading.Lock()
sessions = SessionManager(clock=clock)


def document(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "loggable_session_id": session.loggable_id,
        "subject": session.subject,
        "data": session.data,
        "created": session.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expires": session.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "idle_timeout_seconds": session.idle_timeout_seconds,
        "absolute_timeout_seconds": session.absolute_timeout_seconds,
    }


def found(session: Session | None) -> Answer:
    return (404, None, None) if session is None else (200, session.etag, document(session))


def create(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    session = sessions.create(body.pop("data", {}), **body)
    return 201, session.etag, document(session)


def load(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    return found(sessions.load(id))


def save(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    return (204, sessions.update(id, if_match=tag, **body), None) if body else (400, None, None)


def clear(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    sessions.clear(id, if_match=tag)
    return 204, None, None


def renew(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    if "subject" in body:
        session = sessions.log_in(id, body.pop("subject"), if_match=tag, **body)
        return (201 if session.is_new else 200), session.etag, document(session)
    return found(sessions.renew(id, if_match=tag, **body))


def list_sessions(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    listed = [{"loggable_session_id": session.loggable_id} for session in sessions.sessions_of(body["subject"])]
    return 200, None, {"sessions": listed}


def revoke(id: str, tag: str | None, body: dict[str, Any]) -> Answer:
    if "subject" in body:
        sessions.revoke_all(body["subject"], except_=body.get("except"))
    else:
        sessions.revoke(body["loggable_session_id"])
    return 204, None, None


VERBS: dict[str, Callable[[str, str | None, dict[str, Any]], Answer]] = {
    "POST /session": create,
    "GET /session": load,
    "PUT /session": save,
    "DELETE /session": clear,
    "POST /session/renew": renew,
    "POST /session/list": list_sessions,
    "POST /session/revoke": revoke,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        with clock_lock:
            clock.advance(max(0, int(self.headers["x-clock"]) - int(clock.now().timestamp())))
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        verb = VERBS[f"{self.command} {self.path}"]
        try:
            status, tag, document = verb(self.headers.get("x-session-id", ""), self.headers.get("if-match"), body)
        except SessionError as error:
            status, tag, document = STATUSES.get(type(error), 500), None, None
        self.send_response(status)
        if tag is not None:
            self.send_header("etag", tag)
        content = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
        if status != 204:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/session", flush=True)
    server.serve_forever()
