#!/usr/bin/env bash
# Renews the pictures of the page in docs/images by the tests that view it: in Chromium, in both
# themes and three widths. Keeps only those that the documents show.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
cd "$PATCHSET_ROOT"

hack/setup.sh

images=docs/images
# The largest picture, in bytes.
largest=$((300 * 1024))

all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
PATCHSET_PICTURES=$all cargo test --locked --test it page:: -- --test-threads=1 >&2

mkdir -p "$images"
grep -oh 'images/[a-z0-9-]*\.png' docs/*.md README.md | sort -u | while read -r name; do
    name=${name#images/}
    [ -s "$all/$name" ] || die "no test makes $name"
    size=$(stat -c %s "$all/$name")
    [ "$size" -le "$largest" ] || die "$name has $size bytes, more than $largest"
    cp "$all/$name" "$images/$name"
    say "$images/$name: $((size / 1024)) KiB"
done
