# syntax=docker/dockerfile:1
#   docker build -t courier .                             a node, for production
#   docker build --target development -t courier-dev .    a node for development, from the sources in the image
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# What is installed are the versions that were tested: the lock constrains them.
FROM base AS build
WORKDIR /src
RUN python -m venv /opt/courier
COPY requirements-dev.lock pyproject.toml README.md LICENSE ./
COPY courier courier
RUN /opt/courier/bin/pip install --constraint requirements-dev.lock '.[sentry]'

FROM base AS development
# Debian keeps one version of each, so that a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make nginx-light redis-server systemd \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home courier
WORKDIR /src
RUN python -m venv /opt/courier && chown courier:courier /src
ENV PATH=/opt/courier/bin:$PATH
COPY requirements-dev.lock ./
RUN pip install --requirement requirements-dev.lock
COPY --chown=courier:courier . .
RUN pip install --no-deps --editable .
# Said in so many words, it may listen for other machines with the development secret; publish the port with care.
ENV COURIER_ENV=development \
    COURIER_BIND=0.0.0.0:8766
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
EXPOSE 8766
STOPSIGNAL SIGTERM
CMD ["courier", "serve"]

FROM base AS production
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin courier
COPY --from=build /opt/courier /opt/courier
ENV PATH=/opt/courier/bin:$PATH \
    COURIER_ENV=production \
    COURIER_BIND=0.0.0.0:8766
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
EXPOSE 8766
# The node drains; give it longer than COURIER_DRAIN_DELAY_SECONDS + COURIER_DRAIN_SECONDS before it is killed.
STOPSIGNAL SIGTERM
# Images in the OCI format have no HEALTHCHECK (podman: build with --format docker); compose files name it again.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8766/health/ready', timeout=2)"]
CMD ["courier", "serve"]
