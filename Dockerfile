# syntax=docker/dockerfile:1
# Attestune's image. Base images are pinned by tag; pin their digests where your registry mirror knows them.
#
#   docker build -t attestune:0.1.0 .
#   docker build -t attestune:0.1.0-cuda --target cuda .

ARG RUST_IMAGE=rust:1.95.0-bookworm
ARG DEBIAN_IMAGE=debian:12.12-slim
ARG CUDA_DEVEL_IMAGE=nvidia/cuda:13.0.1-devel-ubuntu24.04
ARG CUDA_RUNTIME_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04

# ---- The binary, in the profile that the tests run in: with the same checks on overflow.
FROM ${RUST_IMAGE} AS rust
FROM rust AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev libssl-dev zlib1g-dev libzstd-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,id=attestune-target \
    CARGO_TARGET_DIR=/target cargo build --locked --workspace \
    && install -s -m 755 /target/debug/attestune /usr/local/bin/attestune

# ---- The same for NVIDIA cards.
FROM ${CUDA_DEVEL_IMAGE} AS build-cuda
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libclang-dev libssl-dev zlib1g-dev libzstd-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG CUDA_COMPUTE_CAP=90
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,id=attestune-target-cuda \
    CARGO_TARGET_DIR=/target CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP} cargo build --locked --workspace --features attestune/cuda \
    && install -s -m 755 /target/debug/attestune /usr/local/bin/attestune

FROM ${CUDA_RUNTIME_IMAGE} AS cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3t64 zlib1g libzstd1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 attestune \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin attestune \
    && install -d -o 10001 -g 10001 /var/lib/attestune
COPY --from=build-cuda /usr/local/bin/attestune /usr/local/bin/attestune
USER 10001:10001
WORKDIR /var/lib/attestune
VOLUME /var/lib/attestune
ENTRYPOINT ["attestune"]

# ---- What runs: no compiler, no shell for the user, nothing written but the volume.
FROM ${DEBIAN_IMAGE} AS attestune
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g libzstd1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 attestune \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin attestune \
    && install -d -o 10001 -g 10001 /var/lib/attestune
COPY --from=build /usr/local/bin/attestune /usr/local/bin/attestune
USER 10001:10001
WORKDIR /var/lib/attestune
VOLUME /var/lib/attestune
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s --retries=3 CMD ["attestune", "probe"]
ENTRYPOINT ["attestune"]
CMD ["--help"]
