# The three services in one image: `docker build -t distli .`; docker-compose.yml runs it three times.
#
# BuildKit is not needed: no mounts, no heredocs.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# Runs `make setup` first, which fetches the wasm target and builds wasm-bindgen, as on any machine.
RUN make build-web
RUN cargo build --locked --release -p tracker -p validator -p dashboard
RUN mkdir -p /out/bin /out/data \
 && cp target/release/tracker target/release/validator target/release/dashboard /out/bin/ \
 && cp -r www/dist /out/www

FROM debian:bookworm-slim
COPY --from=build /out/bin /usr/local/bin
COPY --from=build /out/www /srv/www
COPY docker/healthy /usr/local/bin/healthy
# Owned by the user that runs the services; a new volume mounted here takes the ownership over.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
