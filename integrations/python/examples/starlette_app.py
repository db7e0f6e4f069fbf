"""A login with Starlette: ``uvicorn starlette_app:app``. With FastAPI the session is the same."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamodb_web_session import TooManySessionsError
from dynamodb_web_session.starlette import SessionMiddleware, log_in, log_out_everywhere


async def page(request: Request) -> Response:
    return JSONResponse(request.session)


async def visit(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session)


async def login(request: Request) -> Response:  # after the password was verified
    user = request.query_params["user"]
    try:
        await log_in(request, user, user=user)
    except TooManySessionsError:
        return Response("You are logged in on too many devices.", 409)
    return JSONResponse(request.session)


async def logout(request: Request) -> Response:
    request.session.clear()
    return Response(status_code=204)


async def everywhere(request: Request) -> Response:
    if "user" in request.session:
        await log_out_everywhere(request, request.session["user"])
    request.session.clear()
    return Response(status_code=204)


routes = [Route("/", page)] + [Route(f"/{f.__name__}", f, methods=["POST"]) for f in (visit, login, logout, everywhere)]
app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware)])
