# shellcheck shell=bash
# Images for a node that can pull none: made from Debian's packages and what hack/setup.sh got, kept as archives.
#
#   pause     what holds a pod's namespaces
#   builder   BuildKit with runc, under the name of its public image's entry point
#   python    Python and uv, as a base of images that are built
#   patchset  the controller

# shellcheck source-path=SCRIPTDIR source=tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

PATCHSET_IMAGES=$PATCHSET_CACHE/images
# Changed if the images are made in another way.
IMAGES_VERSION=1

# image_file NAME: the archive of an image.
image_file() {
    printf '%s/%s-%s.tar\n' "$PATCHSET_IMAGES" "$1" "$IMAGES_VERSION"
}

# pack NAME ROOT FILE [OPTION...]: an archive with an image of the folder ROOT; options are those of `buildah config`.
pack() (
    name=$1 root=$2 file=$3
    shift 3
    storage=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder is known now
    trap "rm -rf '$storage'" EXIT
    in_storage() {
        buildah --storage-driver vfs --root "$storage/root" --runroot "$storage/run" "$@"
    }
    container=$(in_storage from scratch)
    in_storage add --quiet "$container" "$root" / >/dev/null
    in_storage config "$@" "$container"
    in_storage commit --quiet "$container" "localhost/$name" >/dev/null
    mkdir -p "$(dirname "$file")"
    rm -f "$file.new"
    in_storage push --quiet "localhost/$name" "docker-archive:$file.new:localhost/$name" >/dev/null
    mv "$file.new" "$file"
)

# debian FOLDER PACKAGE...: a small Debian with these packages, and the authorities that this machine trusts.
debian() {
    local target=$1 suite mirror include=ca-certificates
    shift
    suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # a format of apt
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(SUITE) $(CODENAME)' | awk -v suite="$suite" '$3 == suite { print $1; exit }')
    while [ $# -gt 0 ]; do
        include=$include,$1
        shift
    done
    debootstrap --variant=minbase --include="$include" "$suite" "$target" "$mirror"
    cp /etc/ssl/certs/ca-certificates.crt "$target/etc/ssl/certs/ca-certificates.crt"
    rm -rf "$target"/var/cache/apt/* "$target"/var/lib/apt/lists/* "$target"/usr/share/doc "$target"/usr/share/man \
        "$target"/usr/share/locale "$target"/var/log/*
}

make_pause() {
    mkdir -p "$1/bin"
    cp /bin/busybox "$1/bin/busybox"
    pack pause:node "$1" "$(image_file pause)" --entrypoint '["/bin/busybox", "sleep", "2147483647"]'
}

make_builder() {
    debian "$1" runc
    cp "$(find_program buildkitd)" "$(find_program buildctl)" "$1/usr/local/bin/"
    cat >"$1/usr/local/bin/buildctl-daemonless.sh" <<'SH'
#!/bin/sh
# Starts buildkitd, runs buildctl with the arguments, and stops buildkitd: what the script of that name in BuildKit's
# own image does.
set -eu
state=$(mktemp -d)
# shellcheck disable=SC2086 # several options
buildkitd $BUILDKITD_FLAGS --addr "unix://$state/buildkitd.sock" >"$state/log" 2>&1 &
pid=$!
trap 'kill $pid; wait $pid || true; rm -rf "$state"' EXIT
tries=0
until buildctl --addr "unix://$state/buildkitd.sock" debug workers >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$pid" 2>/dev/null; then
        cat "$state/log" >&2
        exit 1
    fi
    sleep 0.1
done
buildctl --addr "unix://$state/buildkitd.sock" "$@"
SH
    chmod 755 "$1/usr/local/bin/buildctl-daemonless.sh"
    pack builder:node "$1" "$(image_file builder)" --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
}

make_python() {
    debian "$1" python3
    # The program itself: what hack/setup.sh links to may be a link too.
    cp -L "$(find_program uv)" "$1/usr/local/bin/uv"
    pack python:node "$1" "$(image_file python)" \
        --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt --env UV_NATIVE_TLS=1 --env UV_SYSTEM_PYTHON=1
}

# need_images NAME...: makes those images that are missing.
need_images() {
    local name work
    for name in "$@"; do
        [ ! -e "$(image_file "$name")" ] || continue
        need_commands buildah=buildah debootstrap=debootstrap busybox=busybox-static
        work=$(mktemp -d)
        chmod 755 "$work"
        long "make the image $name" "make_$name" "$work"
        rm -rf "$work"
    done
}

# pack_patchset PROGRAM FILE: the controller's image, with the program and what it is linked with, as the Dockerfile has it.
pack_patchset() {
    local work library
    work=$(mktemp -d)
    chmod 755 "$work"
    install -D "$1" "$work/usr/local/bin/patchset"
    strip --strip-debug "$work/usr/local/bin/patchset"
    ldd "$1" | sed -n 's|^[^/]*\(/[^ ]*\) .*|\1|p' | while read -r library; do
        install -D "$library" "$work$library"
    done
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$work/etc/ssl/certs/ca-certificates.crt"
    printf 'patchset:x:65532:65532::/data:/nonexistent\n' >"$work/etc/passwd"
    pack patchset:node "$work" "$2" --user 65532:65532 --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        --entrypoint '["/usr/local/bin/patchset"]' --cmd controller
    rm -rf "$work"
}
