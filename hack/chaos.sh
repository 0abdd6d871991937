#!/usr/bin/env bash
# Honest tenants at work while API server, Git server, registry and controller are killed, paused and slowed at random, and one
# namespace is hostile all the time. Prints figures and a line for each verdict; the last line counts them, as the exit
# status says. docs/benchmarks.md tells what is checked.
#
#   hack/chaos.sh [--seed N] [--minutes N] [--objects N] [--hostile on|off|LIST] [--faults on|off] [--keep]
#
#   --seed N         what is changed and what fails follows from it; a random one where absent, which is printed
#   --minutes N      how long servers fail (10)
#   --objects N      PatchSets of four honest namespaces (50)
#   --hostile off    the same without the hostile namespace
#   --hostile LIST   only with those of its objects whose names begin so: drip,registry,churn
#   --faults off     the same without faults
#   --keep           keeps the folder with all logs; it is kept in any case where a verdict failed
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
. "$(dirname "$0")/lib/cluster.sh"

usage="usage: hack/chaos.sh [--seed N] [--minutes N] [--objects N] [--hostile on|off|LIST] [--faults on|off] [--keep]"
seed=$((RANDOM * 32768 + RANDOM))
minutes=10
objects=50
hostile=on
faults=on
keep=
while [ $# -gt 0 ]; do
    case $1 in
        --seed | --minutes | --objects)
            [[ ${2:-} =~ ^[0-9]+$ ]] || die "$1 takes a number; $usage"
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        --hostile)
            hostile=${2:?$usage}
            shift 2
            ;;
        --faults)
            [[ ${2:-} =~ ^(on|off)$ ]] || die "$1 takes on or off; $usage"
            faults=$2
            shift 2
            ;;
        --keep)
            keep=yes
            shift
            ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"
            exit
            ;;
        *) die "$usage" ;;
    esac
done
((objects > 0)) || die "--objects takes a number above 0"

clean_up() {
    cluster_down "$dir/cluster"
    if [ -n "$keep" ]; then
        # Repositories, images and the database are large, and say nothing that the logs do not.
        rm -rf "$dir/registry" "$dir/mirrors" "$dir/git" "$dir/cluster/etcd"
        say "the logs are in $dir"
    else
        rm -rf "$dir"
    fi
}

"$PATCHSET_ROOT/hack/setup.sh" chaos
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
export PATH=$PATH:$PATCHSET_BIN
long "build patchset (some minutes the first time)" \
    cargo build --manifest-path "$PATCHSET_ROOT/Cargo.toml" --locked --bin patchset

dir=$(mktemp -d -t patchset-chaos-XXXXXX)
trap clean_up EXIT
say "seed $seed; start etcd and kube-apiserver"
cluster_up "$dir/cluster"
status=0
python3 -B "$PATCHSET_ROOT/hack/chaos" "$CARGO_TARGET_DIR/debug/patchset" "$dir/cluster" "$dir" \
    --seed "$seed" --minutes "$minutes" --objects "$objects" --hostile "$hostile" --faults "$faults" || status=$?
if [ "$status" -ne 0 ]; then
    keep=yes
    exit "$status"
fi
