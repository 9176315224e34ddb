# syntax=docker/dockerfile:1
# Attestune's image. Base images are pinned by digest; docs/deployment.md says where the digests come from.
#
#   docker build --target attestune -t attestune:0.1.0 .
#   docker build --target attestune-cuda -t attestune-cuda:0.1.0 .    # trainer and evaluator on NVIDIA's cards

ARG RUST_IMAGE=rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG DEBIAN_IMAGE=debian:12.12-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c
ARG CUDA_BUILD_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04@sha256:5dc1bca23d05bd37b011be68ec470c03b403a5da07ec3a86e41af9470e9d0cc6
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-runtime-ubuntu24.04@sha256:6a0e31b59e70890446f2c17356d6efc0d54260090a8c63d6ca7c2ad049db95d2

# ---- The binary, in the profile that the tests run in: with the same checks on overflow.
FROM ${RUST_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev libssl-dev zlib1g-dev libzstd-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,id=attestune-target \
    CARGO_TARGET_DIR=/target cargo build --locked --workspace \
    && install -s -m 755 /target/debug/attestune /usr/local/bin/attestune

# ---- The same with CUDA. No card is needed to build it; CUDA_COMPUTE_CAP is the oldest kind that it shall run on.
FROM ${RUST_IMAGE} AS rust
FROM ${CUDA_BUILD_IMAGE} AS build-cuda
ARG CUDA_COMPUTE_CAP=80
COPY --from=rust /usr/local/rustup /usr/local/rustup
COPY --from=rust /usr/local/cargo /usr/local/cargo
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev libssl-dev zlib1g-dev libzstd-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target,id=attestune-cuda-target \
    CARGO_TARGET_DIR=/target CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP} scripts/build-cuda \
    && install -s -m 755 bin/attestune-cuda /usr/local/bin/attestune

FROM ${CUDA_IMAGE} AS attestune-cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3t64 zlib1g libzstd1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 attestune \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin attestune \
    && install -d -o 10001 -g 10001 /var/lib/attestune
COPY --from=build-cuda /usr/local/bin/attestune /usr/local/bin/attestune
# What the driver makes of the kernels for its card, kept in the volume: else it is made at every start.
ENV CUDA_CACHE_PATH=/var/lib/attestune/cuda-cache
USER 10001:10001
WORKDIR /var/lib/attestune
VOLUME /var/lib/attestune
ENTRYPOINT ["attestune"]
CMD ["--help"]

# ---- What runs without: no compiler, no shell for the user, nothing written but the volume.
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
