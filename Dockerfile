# Two images from one source: `serving` for all processes but the trainer, without JAX; `trainer` with it.
#
#   docker build --target serving -t tailorbird-serving:0.1.0 .
#   docker build --target trainer -t tailorbird-trainer:0.1.0 .
#
# The base is named to its patch level; whoever builds for production adds the digest that they have checked:
# --build-arg PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:...

ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/tailorbird/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1


FROM base AS builder
# Annoy is built from source.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
# Annoy's own flags without `-march=native`: the image runs on other processors than the one that built it. For a fleet of
# one kind, name it: --build-arg ANNOY_ARCH=,-march=x86-64-v3
ARG ANNOY_ARCH=
ENV ANNOY_COMPILER_ARGS=-fpermissive,-O3,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14${ANNOY_ARCH} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/tailorbird
# The dependencies are a layer of their own: they change seldom and take long. In the environment, constraints also hold for
# what builds need.
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*project['dependencies'], *project['optional-dependencies']['telemetry'], sep='\n')" > base.txt \
 && PIP_CONSTRAINT=/src/constraints.txt pip install -c constraints.txt -r base.txt
COPY . .
# With what sends traces, for TAILORBIRD_OTLP_ENDPOINT.
RUN PIP_CONSTRAINT=/src/constraints.txt pip install -c constraints.txt '.[telemetry]'


FROM builder AS trainer-builder
RUN PIP_CONSTRAINT=/src/constraints.txt pip install -c constraints.txt '.[train]'


FROM base AS runtime
# Loops that were compiled for one process are there for the next: beside their source nobody but root may write.
ENV NUMBA_CACHE_DIR=/state/.numba
# A named volume takes over the owner of the folder that it is mounted on.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin tailorbird \
 && install -d -o tailorbird -g tailorbird -m 0700 /buckets /secrets /state /store
USER tailorbird
WORKDIR /state


FROM runtime AS trainer
COPY --from=trainer-builder /opt/tailorbird /opt/tailorbird
CMD ["python", "-m", "trainer"]


FROM runtime AS serving
COPY --from=builder /opt/tailorbird /opt/tailorbird
CMD ["tailorbird", "--help"]
