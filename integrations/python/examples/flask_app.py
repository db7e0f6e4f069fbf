"""A login with Flask: ``flask --app flask_app run``, or ``gunicorn --preload --workers 4 flask_app:app``."""

from flask import Flask, redirect, render_template_string, request, session
from markupsafe import escape

from dynamodb_web_session import TooManySessionsError
from dynamodb_web_session.flask import DynamoDbSessions, log_in, log_out_everywhere, revoke, sessions_of

app = Flask(__name__)
app.config.update(SESSION_COOKIE_SAMESITE="Lax")  # and SESSION_COOKIE_SECURE=True where it is served over HTTPS
DynamoDbSessions(app)

FORMS = """<p>{}</p><form method="post"><input name="user" placeholder="name">
<button formaction="/login">Log in</button> <button formaction="/visit">Count</button>
<button formaction="/logout">Log out</button> <button formaction="/everywhere">Log out everywhere</button></form>
<a href="/devices">Where you are logged in</a>"""

DEVICES = """<ul>{% for each in devices %}<li>{{ each.label or "an unknown device" }}{% if each.context %}, {{ each.context.address }}{% endif %},
last used {{ each.last_used.strftime("%d %B, %H:%M") }} UTC {% if each.is_current %}(this device){% else %}
<form method="post"><button name="name" value="{{ each.name }}">Log out there</button></form>{% endif %}</li>{% endfor %}</ul>"""


@app.get("/")
def page():
    return FORMS.format(escape(f"user: {session.get('user')}, visits: {session.get('visits', 0)}"))


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


@app.get("/devices")
def devices():
    return render_template_string(DEVICES, devices=sessions_of(session["user"]) if "user" in session else [])


@app.post("/devices")
def log_out_there():
    if "user" in session:
        revoke(session["user"], request.form["name"])
    return redirect("/devices")


@app.post("/everywhere")
def everywhere():
    if "user" in session:
        log_out_everywhere(session["user"])
    session.clear()
    return redirect("/")
