# The service alone: app/ and models/ with the shipped checkpoint.
#   docker build --tag glimpse .
#   docker run --gpus all -p 127.0.0.1:8000:8000 glimpse        (without --gpus it serves from the CPU)
# BASE is any image with Python 3.11 to 3.14, its venv module, and glibc 2.28 or newer (so not Alpine's); CUDA comes with torch's own wheels.
ARG BASE=python:3.14-slim

FROM ${BASE} AS build
WORKDIR /src

# Its own environment: the pip of a Debian base refuses to change the system's Python.
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# Dependencies before code, so that a change of code does not install torch again. They are read from
# pyproject.toml, with OpenVINO for where there is no GPU, in the versions that were tested.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['openvino'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

# Outside of the environment, so that a change of code is a layer of megabytes, not another of gigabytes.
# The project's scripts go: python -m app needs none, and glimpse-train would look for training/.
COPY README.md LICENSE ./
COPY models models
COPY app app
RUN pip install --no-cache-dir --no-deps --target /srv/glimpse . && rm -r /srv/glimpse/bin


FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/glimpse /srv/glimpse

# python -m app finds the code, and the version of the project, in the folder that it starts in.
WORKDIR /srv/glimpse

# In a container 127.0.0.1 is nobody's address but its own, and the user below can write no bytecode.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GLIMPSE_HOST=0.0.0.0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 10001:10001

EXPOSE 8000

# Whether a restart would help, and not whether it is ready: orchestrators replace what is unhealthy, and would replace
# a container that drains. slim has no curl. Any proxy of the container's environment is passed by; a start needs time
# to load torch. Move the port with GLIMPSE_PORT, not --port, for this to follow.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD python -c "import sys, urllib.request as web; sys.exit(web.build_opener(web.ProxyHandler({})).open('http://127.0.0.1:${GLIMPSE_PORT:-8000}/health/live', timeout=4).status != 200)"

# The service finishes the requests in flight, for GLIMPSE_DRAIN_TIMEOUT_S at most, and exits with 0.
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app"]
