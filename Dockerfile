# One image for every command that runs beside Kafka: `worker`, `topics`, `classify`.
#
#   docker build -t mimamori:0.1.0 .
#   docker build -t mimamori:0.1.0 --build-arg TORCH_INDEX=URL --build-arg TORCH_SHA256=HEX .
#
# torch is what makes the image large. The wheel that requirements-run.lock pins is built for CUDA and refuses to
# import without its libraries, which a CPU worker never uses: torch 1.1 GB, nvidia-* 3.0 GB. So there are two builds:
#   plain        that wheel, with its hashes. Only triton (1.0 GB) is left out: torch imports and runs on a CPU without.
#   TORCH_INDEX  the same version's CPU build (`+cpu`) from a package index of your choice. Its hash is not in the lock:
#                give it as TORCH_SHA256, or that one wheel is trusted on the index's word.
# Both builds end by importing what the worker needs, and fail when that fails.

# The patch version is pinned. Raise it with Python's security releases; pin the digest too where policy asks for it.
FROM python:3.11.15-slim-bookworm AS base


FROM base AS builder
ARG UV_VERSION=0.13.9
ARG TORCH_INDEX=
ARG TORCH_SHA256=
# A mirror of the package index, where one is needed. Unset: the tools' own default. No credentials here: build
# arguments stay in the builder's history.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    VIRTUAL_ENV=/opt/venv

RUN pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}" \
    && uv venv --python /usr/local/bin/python3 "${VIRTUAL_ENV}"

WORKDIR /build
COPY requirements-run.lock ./
# --no-deps: the lock is the whole closure, and what is left out must not come back as somebody's dependency.
RUN --mount=type=cache,target=/root/.cache/uv set -eu; \
    skip='triton'; \
    if [ -n "${TORCH_INDEX}" ]; then skip='torch|triton|nvidia-.*|cuda-.*'; fi; \
    awk -v skip="^(${skip})==" '/^[a-z0-9]/ { keep = $0 !~ skip } keep' requirements-run.lock >image.lock; \
    uv pip install --no-deps --require-hashes -r image.lock; \
    if [ -n "${TORCH_INDEX}" ]; then \
        sed -n 's/^\(torch==[^ ;]*\).*/\1+cpu/p' requirements-run.lock >torch.lock; \
        hashes=''; \
        if [ -n "${TORCH_SHA256}" ]; then \
            sed -i "s/\$/ --hash=sha256:${TORCH_SHA256}/" torch.lock; hashes='--require-hashes'; \
        fi; \
        uv pip install --no-deps ${hashes} --default-index "${TORCH_INDEX}" -r torch.lock; \
    fi

COPY pyproject.toml README.md LICENSE ./
COPY workers ./workers
COPY models ./models
# setuptools is in the lock (torch needs it), so nothing is fetched here.
RUN uv pip install --no-deps --no-build-isolation . \
    && "${VIRTUAL_ENV}/bin/python" -c "import aiokafka, confluent_kafka, faust, fugashi, rocksdict, transformers; \
        import unidic_lite, workers, models, torch; print('torch', torch.__version__)"


FROM base AS runtime
# A numeric user, so that `runAsNonRoot` and the like can check it. /var/lib/mimamori belongs to it: an anonymous volume
# mounted there takes over that ownership. /app is where a ./topics.yml of your own can be mounted.
RUN groupadd --gid 10001 mimamori \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mimamori \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/mimamori \
    && install -d /app
COPY --from=builder /opt/venv /opt/venv
# HF_HUB_OFFLINE: the model is in the image; nothing may be looked up outside.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    MIMAMORI_DATADIR=/var/lib/mimamori \
    MIMAMORI_WEB_PORT=8080
WORKDIR /app
USER 10001:10001
EXPOSE 8080
# Liveness: an orchestrator that replaces unhealthy containers (Swarm) may act on it. Readiness would be wrong here,
# since a worker that restores its table is not ready for minutes and must be left alone.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-IS", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['MIMAMORI_WEB_PORT'] + '/healthz/live', timeout=4)"]
ENTRYPOINT ["mimamori"]
CMD ["worker"]
