"""The application: settings in, FastAPI out."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware import Middleware
from starlette.responses import RedirectResponse

from app import problems
from app.lifespan import Service, lifespan
from app.middleware import BodyLimit, RequestContext
from app.routes import health, model, predict
from app.settings import Settings, read_settings


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: None reads GLIMPSE_* from the environment, for `uvicorn --factory app.main:create_app`.
        service: an open one to serve; None opens one from the settings when the application starts.

    Raises:
        SettingsError: the environment holds a setting that cannot be used.
    """
    settings = settings or read_settings([])
    app = FastAPI(
        title="Glimpse",
        version=version("glimpse"),
        summary="Labels for pictures, from one checkpoint file.",
        lifespan=lifespan(settings, service),
        middleware=[
            Middleware(RequestContext),
            Middleware(BodyLimit, max_body_bytes=settings.max_body_bytes),
        ],
    )
    app.state.settings = settings
    problems.install(app)
    for router in (predict.router, health.router, model.router):
        app.include_router(router)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app
