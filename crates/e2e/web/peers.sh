#!/bin/sh
# The hash functions that the bench measures against, from npm into $DIST/peers; nothing of the product uses them.
set -eu
hash_wasm=4.13.0
noble=2.4.0

command -v npm >/dev/null || { echo "npm is missing (on Debian: apt-get install npm): the bench measures against two npm packages"; exit 1; }
folder="$DIST/peers"
mkdir -p "$folder/npm" "$folder/noble"
npm install --prefix "$folder/npm" --no-save --no-audit --no-fund --loglevel=error "hash-wasm@$hash_wasm" "@noble/hashes@$noble"
cp "$folder/npm/node_modules/hash-wasm/dist/index.esm.min.js" "$folder/hash-wasm.js"
cp "$folder"/npm/node_modules/@noble/hashes/*.js "$folder/noble/"
rm -r "$folder/npm"
