#!/usr/bin/env bash
# Hostile inputs of every known kind, at their largest, and generated ones, against a release build of the real program
# with 1 GiB of memory and a clock: hack/hostile.sh [--seed N] [--minutes N]
#
# Prints a line for each input (verdict, input, who read it, seconds, peak of memory in MiB, what was said) and ends with
# a line "N passed, N failed". The same seed gives the same generated inputs. Their short form is part of hack/test.sh.
#
# CARGO_TARGET_DIR is honoured where it is set. PATCHSET_HOSTILE_ONLY=KIND tries only what is known of one kind: patches,
# constraints, releases, manifests, upstreams, servers, objects, keys, artifacts, layers, deliveries, or together.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
cd "$PATCHSET_ROOT"

seed=1
minutes=10
while [ $# -gt 0 ]; do
    [[ $# -ge 2 && $2 =~ ^[0-9]+$ ]] || die "usage: hack/hostile.sh [--seed N] [--minutes N]"
    case $1 in
    --seed) seed=$2 ;;
    --minutes) minutes=$2 ;;
    *) die "$1 is unknown: hack/hostile.sh takes --seed N and --minutes N" ;;
    esac
    shift 2
done

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
hack/setup.sh

long "build the program as it is released" cargo build --locked --release --bin patchset
export PATCHSET_HOSTILE_PROGRAM=$CARGO_TARGET_DIR/release/patchset
export PATCHSET_HOSTILE_SEED=$seed PATCHSET_HOSTILE_MINUTES=$minutes

long "build the suite" cargo test --locked --test it --no-run
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --locked --quiet --test it hostile::long:: -- --ignored --nocapture 2>&1 | tee "$log" || status=$?
# The suite's own last line is the last one here too.
grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1
exit "$status"
