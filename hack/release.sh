#!/usr/bin/env bash
# Makes what a release has for people without Rust: a static binary with man pages and completions
# in a tarball, and SHA256SUMS. The same commit gives the same bytes, by the same compilers.
#
#   hack/release.sh OUT                   for x86_64-unknown-linux-musl, by the release profile
#   hack/release.sh --target T OUT        for another target
#   hack/release.sh --profile P OUT       by another of Cargo's profiles
#   hack/release.sh --binary FILE OUT     packs a binary that is there, whatever it is linked to
#
# musl needs `rustup target add TARGET` and musl-gcc (apt-get install musl-tools). Without them, a
# static binary for glibc is made by --target x86_64-unknown-linux-gnu.
# SOURCE_DATE_EPOCH is the date of all files [default: the commit's].
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    sed -n 's/^# \{0,1\}//; 2,12p' "$0" >&2
    exit 2
}
die() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

target=x86_64-unknown-linux-musl profile=release binary='' out=''
while [ $# -gt 0 ]; do
    case "$1" in
        --target) target=${2:?} && shift ;;
        --profile) profile=${2:?} && shift ;;
        --binary) binary=$(realpath "${2:?}") && shift ;;
        -*) usage ;;
        *) [ -z "$out" ] || usage && out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || usage
mkdir -p "$out"
out=$(cd "$out" && pwd)

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC

if [ -z "$binary" ]; then
    [ -d "$(rustc --print target-libdir --target "$target")" ] \
        || die "the standard library for $target is not there: rustup target add $target"
    case "$target" in
        *-musl)
            command -v musl-gcc > /dev/null || die "musl-gcc is not there: apt-get install musl-tools"
            ;;
    esac
    # No path of this machine in the binary.
    flags="-C target-feature=+crt-static --remap-path-prefix=$root=/patchset"
    flags+=" --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    flags+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
    # Set for the target, so that build scripts are compiled as usual.
    variable=CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')_RUSTFLAGS
    export "$variable=$flags"
    export CFLAGS="-ffile-prefix-map=$root=/patchset -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    (cd "$root" && cargo build --locked --package patchset --bin patchset --target "$target" --profile "$profile")
    folder=$profile
    [ "$profile" != dev ] || folder=debug
    binary=${CARGO_TARGET_DIR:-$root/target}/$target/$folder/patchset
    if readelf --program-headers "$binary" | grep -q INTERP; then
        die "$binary is not static: it asks for a dynamic linker"
    fi
fi

version=$("$binary" --version)
version=${version##* }
name=patchset-$version-$target
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/$name
install -D -m 755 "$binary" "$stage/bin/patchset"
install -D -m 644 "$root/LICENSE" "$stage/LICENSE"
mkdir -p "$stage/share/man/man1" "$stage/share/bash-completion/completions" \
    "$stage/share/zsh/site-functions" "$stage/share/fish/vendor_completions.d"
"$binary" man "$stage/share/man/man1"
"$binary" completions bash > "$stage/share/bash-completion/completions/patchset"
"$binary" completions zsh > "$stage/share/zsh/site-functions/_patchset"
"$binary" completions fish > "$stage/share/fish/vendor_completions.d/patchset.fish"

tar --create --directory "$work" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
    --mode=u+rw,go+r-w,a+X --mtime="@$SOURCE_DATE_EPOCH" "$name" \
    | gzip --no-name --best > "$out/$name.tar.gz"
(cd "$out" && sha256sum -- patchset-*.tar.gz > SHA256SUMS)
printf '%s\n' "$out/$name.tar.gz" "$out/SHA256SUMS"
