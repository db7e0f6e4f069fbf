"""The Python library dynamodb-session-web in minimal Lambda functions."""

import json
import os

from dynamodb_session_web import NullSessionInstance, SessionDictInstance, SessionManager

sessions = SessionManager(table_name=os.environ["SESSION_TABLE_NAME"])
sessions.boto_client()  # created at init, as AWS recommends


def answer(status, body=None):
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body) if body else ""}


def create(event, context):
    session = sessions.create()
    session.update(json.loads(event["body"])["data"])
    sessions.save(session)
    return answer(201, {"session_id": session.session_id, "data": session})


def load(event, context):
    session = sessions.load(event["headers"]["x-session-id"])
    return answer(404) if isinstance(session, NullSessionInstance) else answer(200, {"data": session})


def save(event, context):
    """One request. The usual way with the library, a load first, takes three."""
    session = SessionDictInstance(session_id=event["headers"]["x-session-id"])
    session.update(json.loads(event["body"])["data"])
    sessions.save(session)
    return answer(204)


def clear(event, context):
    sessions.clear(event["headers"]["x-session-id"])
    return answer(204)
