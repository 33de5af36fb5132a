# The three services. Each stage needs only the image that the one before it made, so that the classic builder
# (no BuildKit) can build it too.
#
#   docker build -t distli .          the image that docker-compose.yml runs three times

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN make setup build-web \
 && cargo build --locked --release -p tracker -p validator -p dashboard \
 && mkdir -p /out/www /out/data \
 && cp target/release/tracker target/release/validator target/release/dashboard /out/ \
 && cp -r www/dist/. /out/www/

FROM debian:bookworm-slim
COPY --from=build /out/tracker /out/validator /out/dashboard /usr/local/bin/
COPY --from=build /out/www /srv/www
# Owned by the user that runs the services; a volume mounted here takes the ownership over.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /
VOLUME /data
STOPSIGNAL SIGTERM
