#!/bin/sh
# Puts the browser app together in $DIST: the page, the node's JavaScript, the wasm package, and a service worker that
# knows every file with its hash. Called by `make build-web` with TARGET and DIST set.
set -eu

wasm="$TARGET/wasm32-unknown-unknown/release/node_wasm.wasm"
rm -rf "$DIST"
mkdir -p "$DIST/node"
# Names are a tenth of the module and only a debugger reads them.
wasm-bindgen --target web --no-typescript --remove-name-section --remove-producers-section \
  --out-dir "$DIST/pkg" "$wasm"

for file in www/*.html www/*.css www/*.js www/*.svg www/*.png www/*.webmanifest; do
  if [ -f "$file" ]; then cp "$file" "$DIST/"; fi
done
for file in node-wasm/js/*.js node-wasm/js/*.d.ts; do
  if [ -f "$file" ]; then cp "$file" "$DIST/node/"; fi
done

# The service worker's list: what a page needs to open without the server, and one hash over all of it.
if [ -f "$DIST/sw.js" ]; then (
  cd "$DIST"
  assets=$(find . -type f ! -name sw.js ! -name '*.d.ts' | LC_ALL=C sort |
    sed 's#^\.##; s#^/index.html$#/#; s#.*#"&"#' | paste -sd, -)
  version=$(find . -type f ! -name '*.d.ts' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
  sed -i "s#\"__VERSION__\"#\"$version\"#; s#\"__ASSETS__\"#$assets#" sw.js
  echo "service worker: version $version, $(echo "$assets" | tr ',' '\n' | wc -l) files"
) fi

# The tracker serves these to browsers that take gzip: a third of the bytes.
find "$DIST" -type f \( -name '*.js' -o -name '*.css' -o -name '*.html' -o -name '*.svg' -o -name '*.wasm' \) -exec gzip -9knf {} +
