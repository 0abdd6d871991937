# syntax=docker/dockerfile:1
# The image holds the program, the libraries that it is linked with, and CA certificates for TLS: no shell, no
# package manager. It builds for the platform that it runs on; all that it needs from its base image is a Rust
# toolchain, a C compiler and /etc/ssl/certs/ca-certificates.crt.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm

FROM ${BUILD_IMAGE} AS build
ARG TARGETPLATFORM
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY src src
RUN --mount=type=cache,id=cargo-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETPLATFORM},target=/src/target,sharing=locked \
    mkdir -p tests/it benches && touch tests/it/main.rs benches/fetch.rs && \
    cargo build --locked --release --bin patchset && \
    install -D target/release/patchset /rootfs/usr/local/bin/patchset
# The libraries under the names that the loader looks for, each a file, not a link.
RUN ldd /rootfs/usr/local/bin/patchset | sed -n 's|^[^/]*\(/[^ ]*\) .*|\1|p' | while read -r library; do \
        install -D "$library" "/rootfs$library"; \
    done && \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ca-certificates.crt && \
    printf 'patchset:x:65532:65532::/data:/nonexistent\n' >/rootfs/etc/passwd && \
    printf 'patchset:x:65532:\n' >/rootfs/etc/group && \
    printf 'hosts: files dns\n' >/rootfs/etc/nsswitch.conf && \
    install -d -o 65532 -g 65532 /rootfs/data

FROM scratch
LABEL org.opencontainers.image.title=patchset \
      org.opencontainers.image.description="Carries patches on software that you do not own" \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /rootfs /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 8080 9440
ENTRYPOINT ["/usr/local/bin/patchset"]
CMD ["controller"]
