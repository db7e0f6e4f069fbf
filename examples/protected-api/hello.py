"""A function behind the authorizer: a request without a session does not reach it."""

import json


def handler(event, _context):
    # A route without the authorizer has no session.
    session = event["requestContext"].get("authorizer", {}).get("lambda", {})
    user = session.get("subject", "visitor")
    data = session.get("data", {})
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": json.dumps({"hello": user, "data": data}),
    }
