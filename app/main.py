"""The application: settings in, FastAPI out."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware import Middleware

from app import logs, problems
from app.lifespan import lifespan
from app.middleware import Admit, BodyLimit, Preflight, RequestContext
from app.routes import explain, health, metrics, model, openapi, predict, tensors, web
from app.service import Service
from app.settings import Settings, read_settings
from app.wire.cross_origin import cross_origin_of


def from_environment() -> FastAPI:
    """Build the service from GLIMPSE_* alone: for workers, and for `uvicorn --factory app.main:from_environment`.

    Raises:
        SettingsError: the environment holds a setting that cannot be used.
    """
    settings = read_settings([])
    logs.configure(settings.log_level)
    return create_app(settings)


def create_app(settings: Settings, *, service: Service | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: those of this process.
        service: an open one to serve; None opens one from the settings when the application starts.
    """
    cross_origin = cross_origin_of(settings)
    preflight = [Middleware(Preflight, cross_origin=cross_origin)] if cross_origin else []
    app = FastAPI(
        title="Glimpse",
        version=version("glimpse"),
        summary="Labels for pictures, from one checkpoint file.",
        lifespan=lifespan(settings, service),
        docs_url=None,  # ours says where its viewer comes from
        redoc_url=None,  # /docs says the same
        redirect_slashes=False,  # behind a proxy a redirect leads to where the proxy is not
        middleware=[
            Middleware(RequestContext, cross_origin=cross_origin),
            *preflight,
            Middleware(Admit, settings=settings),
            Middleware(BodyLimit, settings=settings),
        ],
    )
    problems.install(app)
    app.router.routes.extend(predict.router.routes)  # not included: a level less between a picture and its route
    routers = [explain.router, health.router, model.router, metrics.router, tensors.router, web.pages()]
    if settings.admin_key:
        routers.append(model.admin_router)
    for router in routers:
        app.include_router(router)
    app.add_route("/docs", openapi.docs, include_in_schema=False)
    return app
