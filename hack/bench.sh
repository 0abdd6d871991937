#!/usr/bin/env bash
# Speed and memory against git, and the controller's way from a change to a build against a pipeline of a CI, as ratios of one run
# over a real tree of some thousand files. Prints Markdown tables; docs/benchmarks.md keeps those of one machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
cd "$PATCHSET_ROOT"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
corpus=${PATCHSET_CORPUS:-$PATCHSET_CACHE/corpus}

hack/corpus.sh
long "build patchset for release" cargo build --release --locked --quiet
say "applying patches"
python3 hack/bench/apply.py "$CARGO_TARGET_DIR/release/patchset" "$corpus/nova.git" 31.0.0 32.0.0
say "patches of which two thirds do not apply"
python3 hack/bench/failing.py "$CARGO_TARGET_DIR/release/patchset" "$corpus/nova.git" 31.0.0 32.0.0
say "fetching"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git --git-dir="$corpus/nova.git" archive 32.0.0 | tar -x -C "$tree"
cargo bench --locked --quiet --package patchset --bench fetch -- "$tree"
say "the engine against libgit2 and diffy"
mix=$(mktemp -d)
trap 'rm -rf "$tree" "$mix"' EXIT
python3 hack/bench/mix.py "$corpus/nova.git" "$mix" 31.0.0 32.0.0
cargo bench --locked --quiet --package git-apply-engine --bench peers -- \
    "$mix/mix.git" "$mix/patches" old half new
if [ -d "${PATCHSET_HISTORY:-}" ]; then
    cargo bench --locked --quiet --package git-apply-engine --bench peers -- \
        "$PATCHSET_HISTORY" 700 master stable/2025.1 stable/2025.2 stable/2026.1
else
    say "NOT MEASURED: set PATCHSET_HISTORY to a bare clone with the branches that are named here"
fi
say "from a change to a build"
cluster=$(mktemp -d)
trap 'hack/cluster.sh down "$cluster"; rm -rf "$tree" "$mix"' EXIT
hack/cluster.sh up "$cluster"
python3 hack/bench/controller.py "$CARGO_TARGET_DIR/release/patchset" "$cluster" "$corpus/nova.git" 31.0.0 32.0.0
say "many objects from one repository"
python3 hack/bench/fleet.py "$CARGO_TARGET_DIR/release/patchset" "$cluster"
say "many objects: a quarter of an hour"
python3 hack/bench/many.py "$CARGO_TARGET_DIR/release/patchset" "$cluster" 200 1 10000 100
