# Builds the image of `cargo xtask image` with Docker, Podman or Buildah:
#
#   docker build --tag kpromo .                                  kpromo, git, certificates, and the libraries that they need
#   docker build --tag kpromo-ci --target ci .                   kpromo with a shell, for systems such as GitLab
#
# Build argument: FEATURES, such as "--no-default-features".
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
ARG FEATURES=""
# The container's user differs from the owner of the checkout.
RUN git config --global --add safe.directory /src
RUN cargo xtask image --unpacked /image ${FEATURES}

FROM ${DEBIAN_IMAGE} AS ci
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl git jq \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory '*'
COPY --from=build /image/usr/bin/kpromo /usr/bin/kpromo
COPY --from=build /image/usr/share/doc/kpromo /usr/share/doc/kpromo
COPY deploy/ci /usr/share/kpromo/ci
USER 65532:65532
WORKDIR /tmp
ENV HOME=/tmp XDG_CACHE_HOME=/tmp/.cache

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /home/nonroot
ENV PATH=/usr/local/bin:/usr/bin:/bin \
    HOME=/home/nonroot \
    XDG_CACHE_HOME=/tmp/.cache \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.title="kpromo" \
      org.opencontainers.image.description="Promotes container images between registries." \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/kpromo"]
