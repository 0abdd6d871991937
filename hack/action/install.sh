#!/usr/bin/env bash
# The first step of action.yml: finds the command, and says where it is.
#
#   VERSION            the release that is wanted, such as v0.1.0; ACTION_REF where it is empty
#   ACTION_REPOSITORY  whose releases are taken, OWNER/NAME
#   ACTION_PATH        the action's own checkout, which is built where there is no release
#   PATCHSET_RELEASES  where the releases are, instead of on GitHub: the address before /VERSION/FILE
#   PATCHSET_PROFILE   Cargo's profile for a build from source [default: release]
#
# A release is taken only with the checksum that stands beside it.
set -euo pipefail

version=${VERSION:-${ACTION_REF:-}}
tools=${RUNNER_TEMP:?}/patchset-${GITHUB_RUN_ID:-0}-$$
output=${GITHUB_OUTPUT:?}

# found PROGRAM HOW
found() {
    printf 'patchset=%s\n' "$1" >> "$output"
    printf '%s (%s)\n' "$("$1" --version)" "$2"
    exit 0
}

fail() {
    printf '::error title=patchset::%s\n' "$1"
    exit 2
}

case "$(uname -sm)" in
    "Linux x86_64") target=x86_64-unknown-linux-musl ;;
    "Linux aarch64") target=aarch64-unknown-linux-musl ;;
    *) target= ;;
esac

mkdir -p "$tools"
# Nothing else names a release, and nothing else goes into an address.
if [[ "$version" =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
    [ -n "$target" ] || [ -z "${VERSION:-}" ] || fail "there is no binary of $version for $(uname -sm)"
    [[ "${ACTION_REPOSITORY:-}" =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ ]] || fail "whose releases to take is not known"
    name=patchset-${version#v}-$target.tar.gz
    releases=${PATCHSET_RELEASES:-${GITHUB_SERVER_URL:-https://github.com}/$ACTION_REPOSITORY/releases/download}
    get() {
        curl --fail --silent --show-error --location --retry 3 --max-time 300 --output "$tools/$1" "$releases/$version/$1"
    }
    if [ -n "$target" ] && get SHA256SUMS && get "$name"; then
        # Exactly this file's line, so that a list without it is no check.
        (cd "$tools" && grep -F "  $name" SHA256SUMS | sha256sum --check --strict --status) \
            || fail "$name is not what SHA256SUMS says: nothing is run"
        tar --extract --gzip --file "$tools/$name" --directory "$tools" --strip-components=1 --no-same-owner
        found "$tools/bin/patchset" "$name"
    fi
    [ -z "${VERSION:-}" ] || fail "there is no release $version at $releases"
elif [ -n "${VERSION:-}" ]; then
    fail "version is no release: write it as v0.1.0"
fi

command -v cargo > /dev/null || fail "there is no release for this ref, and no cargo to build from source: set version"
profile=${PATCHSET_PROFILE:-release}
target_dir=${CARGO_TARGET_DIR:-$tools/target}
cargo build --locked --profile "$profile" --manifest-path "${ACTION_PATH:?}/Cargo.toml" --package patchset \
    --bin patchset --target-dir "$target_dir"
case "$profile" in
    dev) profile=debug ;;
esac
found "$target_dir/$profile/patchset" "built from source"
