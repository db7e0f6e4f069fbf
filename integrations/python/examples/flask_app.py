"""A login with Flask: ``flask --app flask_app run``, or ``gunicorn --preload --workers 4 flask_app:app``."""

from flask import Flask, redirect, request, session

from dynamodb_web_session import TooManySessionsError
from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out_everywhere

app = Flask(__name__)
app.config.update(SESSION_COOKIE_SAMESITE="Lax")  # and SESSION_COOKIE_SECURE=True where it is served over HTTPS
DynamoDbSessions(app)

FORMS = """<p>{}</p><form method="post"><input name="user" placeholder="name">
<button formaction="/login">Log in</button> <button formaction="/visit">Count</button>
<button formaction="/logout">Log out</button> <button formaction="/everywhere">Log out everywhere</button></form>"""


@app.get("/")
def page():
    return FORMS.format(f"user: {session.get('user')}, visits: {session.get('visits', 0)}")


@app.post("/visit")
def visit():
    session["visits"] = session.get("visits", 0) + 1
    return redirect("/")


@app.post("/login")
def login():  # after the password was verified
    user = request.form["user"]
    try:
        log_in(session, user, user=user)
    except TooManySessionsError:
        return "You are logged in on too many devices.", 409
    return redirect("/")


@app.post("/logout")
def logout():
    session.clear()
    return redirect("/")


@app.post("/everywhere")
def everywhere():
    log_out_everywhere(session["user"])
    session.clear()
    return redirect("/")
