#!/usr/bin/env bash
# A real single-node cluster for tests and for looking around; needs root.
#
#   hack/node.sh up DIR      starts it; it runs on. DIR/kubeconfig leads to it, DIR/registry names its registry.
#   hack/node.sh down DIR    stops it and removes DIR
#   hack/node.sh serve DIR   starts it, prints "ready", and stops it and removes DIR when standard input ends:
#                            so it never outlives the process that holds the other end
#
# PATCHSET_PROGRAM names a patchset program: its image localhost/patchset:node is then there as well.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/images.sh
. "$(dirname "$0")/lib/images.sh"
# shellcheck source-path=SCRIPTDIR source=lib/node.sh
. "$(dirname "$0")/lib/node.sh"

usage="usage: hack/node.sh up|down|serve DIR"
[ $# -eq 2 ] || die "$usage"
dir=$2

clean_up() {
    node_down "$dir"
    rm -rf "$dir"
}

bring_up() {
    node_up "$dir"
    node_flux "$dir"
    # Builds pull their base image from a registry.
    skopeo copy --quiet --dest-tls-verify=false "docker-archive:$(image_file python)" "docker://$(cat "$dir/registry")/python:3"
    if [ -n "${PATCHSET_PROGRAM:-}" ]; then
        pack_patchset "$PATCHSET_PROGRAM" "$dir/patchset.tar"
        node_ctr "$dir" images import "$dir/patchset.tar" >/dev/null
    fi
}

case $1 in
    up)
        export OUTLIVE=yes
        bring_up
        say "up: export KUBECONFIG=$dir/kubeconfig"
        ;;
    down)
        clean_up
        ;;
    serve)
        trap clean_up EXIT
        trap 'exit 1' INT TERM HUP
        bring_up
        printf 'ready\n'
        cat >/dev/null
        ;;
    *)
        die "$usage"
        ;;
esac
