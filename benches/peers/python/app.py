"""The Python peer over HTTP: Flask with dynamodb-session-flask."""

import os

from dynamodb_session_flask import DynamoDbSession
from flask import Flask, request, session

app = Flask(__name__)
app.config["SESSION_DYNAMODB_TABLE_NAME"] = os.environ["SESSION_TABLE_NAME"]
app.config["SESSION_DYNAMODB_USE_HEADER"] = True
app.session_interface = DynamoDbSession()


@app.post("/session")
def create():
    session.update(request.get_json()["data"])
    session.modified = True
    return {"data": dict(session)}, 201


@app.get("/session")
def load():
    return {"data": dict(session)}
