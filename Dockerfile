# The image. Build it with docker, podman or buildah:
#
#     docker build --tag qguardarr .
#     docker buildx build --platform linux/amd64,linux/arm64 .
#
# For a build that can be repeated, name the base by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
# pip takes its configuration from the build secret `pip`, if there is one: --secret id=pip,src=/etc/pip.conf

# The Python that the tests and the lock file are made with.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/qguardarr
WORKDIR /build
COPY requirements.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /pip/bin/pip -qq --python /opt/qguardarr/bin/python install --no-cache-dir --only-binary :all: \
        --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY deploy deploy
COPY src src
# Removed at the end: what only the build needs; Flask, of whose Swagger UI only the files are used; and Pygments, which
# rich loads to colour source code.
RUN /pip/bin/pip -qq --python /opt/qguardarr/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
    && /pip/bin/pip -qq --python /opt/qguardarr/bin/python uninstall -y \
        hatchling editables packaging pathspec pluggy tomlkit trove-classifiers \
        flask blinker jinja2 markupsafe werkzeug \
        pygments

FROM ${BASE}
# Of pip nothing is left that the program could be made to use.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
        /usr/lib/python3.*/ensurepip /usr/share/python-wheels \
    && install -d -o 1000 -g 0 -m 775 /config
COPY --from=build /opt/qguardarr /opt/qguardarr
# The daemon runs with -OO; neither pip nor the base has compiled modules for that.
RUN /opt/qguardarr/bin/python -OO -c 'from qguardarr.app.process import load_all; load_all()'
COPY deploy/image/entrypoint.py /usr/local/bin/qguardarr
ENV HOME=/config \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    QGUARDARR_CONFIG=/config/qguardarr.yaml \
    QGUARDARR_CONTAINER=1 \
    QGUARDARR_FIRST_START=1 \
    QGUARDARR__GLOBAL__HOST=0.0.0.0
VOLUME /config
WORKDIR /config
EXPOSE 8089
STOPSIGNAL SIGTERM
# With `user: "0:0"` it gives /config to PUID and PGID, and goes on as that user.
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["qguardarr", "health"]
ENTRYPOINT ["qguardarr"]
CMD ["serve"]
# Last, since they change with each build.
ARG VERSION=0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Qguardarr" \
      org.opencontainers.image.description="Gives each tracker one shared upload cap in qBittorrent, and holds it." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
