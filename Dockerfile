# shd as a program and a BIDS App, for CPUs or NVIDIA GPUs; docs/bids.md shows both.
#   docker build --target cpu --build-arg TORCH_INDEX=<index of torch's builds for CPUs> --tag shd:cpu .
#   docker build --target gpu --tag shd:gpu .
FROM python:3.11-slim-bookworm AS base
# The compiler builds shd's kernels for the processor that it finds, once, when they are first used.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 shd
ENV VIRTUAL_ENV=/opt/shd \
    PATH=/opt/shd/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib
RUN python -m venv "$VIRTUAL_ENV"
WORKDIR /src
COPY requirements.lock ./

FROM base AS cpu
# Without an index, torch's builds for GPUs are installed: they work on CPUs too, and take some GB more.
ARG TORCH_INDEX=
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY shd shd
RUN pip install --no-deps --no-build-isolation .
USER shd
WORKDIR /home/shd
ENTRYPOINT ["shd"]
CMD ["--help"]

FROM base AS gpu
COPY requirements-gpu.lock ./
RUN pip install --requirement requirements.lock --requirement requirements-gpu.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY shd shd
RUN pip install --no-deps --no-build-isolation .
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER shd
WORKDIR /home/shd
ENTRYPOINT ["shd"]
CMD ["--help"]
