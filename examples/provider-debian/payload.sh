#!/bin/bash
# Makes BUILD_FOLDER/payload from BUILD_FOLDER/provider/root, if it was made from another root or not at all.
#
#   payload.sh LANDFALL_BINARY BUILD_FOLDER
set -euo pipefail
binary=$(realpath "${1:?usage: payload.sh LANDFALL_BINARY BUILD_FOLDER}")
build=$(realpath "${2:?usage: payload.sh LANDFALL_BINARY BUILD_FOLDER}")
# The root carries the binary, so its key stands for the program that makes the payload as well.
key=$build/provider/root.key made=$build/cache/payload.key
if cmp --quiet "$key" "$made" && [ -e "$build/payload/manifest.json" ]; then
	exit 0
fi
rm -f "$made"
# Without root, the files of the tree belong to a range of user ids: read it where they are root's.
namespace=()
[ "$(id --user)" = 0 ] || namespace=(unshare --map-auto --map-root-user)
"${namespace[@]}" "$binary" media payload --root "$build/provider/root" --out "$build/payload"
cp "$key" "$made"
