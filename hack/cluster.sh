#!/usr/bin/env bash
# A control plane (etcd and kube-apiserver) for tests and for looking around.
#
#   hack/cluster.sh up DIR      starts it; it runs on. DIR/kubeconfig leads to it.
#   hack/cluster.sh down DIR    stops it and removes DIR
#   hack/cluster.sh serve DIR   starts it, prints "ready", and stops it and removes DIR when standard input ends:
#                               so it never outlives the process that holds the other end
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
. "$(dirname "$0")/lib/cluster.sh"

usage="usage: hack/cluster.sh up|down|serve DIR"
[ $# -eq 2 ] || die "$usage"
dir=$2

clean_up() {
    cluster_down "$dir"
    rm -rf "$dir"
}

case $1 in
    up)
        OUTLIVE=yes cluster_up "$dir"
        say "up: export KUBECONFIG=$dir/kubeconfig"
        ;;
    down)
        clean_up
        ;;
    serve)
        trap clean_up EXIT
        trap 'exit 1' INT TERM HUP
        cluster_up "$dir"
        printf 'ready\n'
        cat >/dev/null
        ;;
    *)
        die "$usage"
        ;;
esac
