#!/usr/bin/env bash
# Measures speed and memory against git, the controller's way from a change to a build against a CI
# pipeline, and the cost of many objects.
# Prints Markdown tables; docs/benchmarks.md keeps those of one machine.
#
#   hack/bench.sh [PART...]     all parts, or these: apply failing fetch engine build fleet one many shards flux
#
# A part that cannot be measured is reported, and the others go on. How busy other work kept the
# processors is reported before and after each part: times and CPU of a disturbed part hold only for
# that machine at that hour; counts and ratios within one run hold.
#
#   PATCHSET_PROGRAM=FILE       measures this program in place of a release build
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
# shellcheck source-path=SCRIPTDIR source=lib/cluster.sh
. "$(dirname "$0")/lib/cluster.sh"
cd "$PATCHSET_ROOT"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
corpus=${PATCHSET_CORPUS:-$PATCHSET_CACHE/corpus}
patchset=${PATCHSET_PROGRAM:-$CARGO_TARGET_DIR/release/patchset}
work=$(mktemp -d)
cluster=$work/cluster
not_measured=()

clean_up() {
    end_steps
    [ ! -d "$cluster" ] || hack/cluster.sh down "$cluster"
    rm -rf "$work"
}
trap clean_up EXIT

# jiffies: those that all processors spent on work since they started, and all there were.
jiffies() {
    awk '/^cpu / { idle = $5 + $6; for (i = 2; i <= 9; i++) all += $i; print all - idle, all }' /proc/stat
}

# others_at_work: the share of the processors that is taken while nothing of this runs, in percent.
others_at_work() {
    local before after
    read -r -a before <<<"$(jiffies)"
    sleep 3
    read -r -a after <<<"$(jiffies)"
    printf '%d\n' $((100 * (after[0] - before[0]) / (after[1] - before[1])))
}

# control_plane: one for all parts that need it.
control_plane() {
    [ -d "$cluster" ] || hack/cluster.sh up "$cluster"
}

part_apply() {
    hack/corpus.sh
    python3 hack/bench/apply.py "$patchset" "$corpus/nova.git" 31.0.0 32.0.0
}

part_failing() {
    hack/corpus.sh
    python3 hack/bench/failing.py "$patchset" "$corpus/nova.git" 31.0.0 32.0.0
}

part_fetch() {
    hack/corpus.sh
    mkdir "$work/tree"
    git --git-dir="$corpus/nova.git" archive 32.0.0 | tar -x -C "$work/tree"
    cargo bench --locked --quiet --package patchset --bench fetch -- "$work/tree"
}

part_engine() {
    hack/corpus.sh
    python3 hack/bench/mix.py "$corpus/nova.git" "$work/mix" 31.0.0 32.0.0
    cargo bench --locked --quiet --package git-apply-engine --bench peers -- \
        "$work/mix/mix.git" "$work/mix/patches" old half new
    if [ ! -d "${PATCHSET_HISTORY:-}" ]; then
        say "NOT MEASURED: set PATCHSET_HISTORY to a bare clone with the branches that are named here"
        return
    fi
    cargo bench --locked --quiet --package git-apply-engine --bench peers -- \
        "$PATCHSET_HISTORY" 700 master stable/2025.1 stable/2025.2 stable/2026.1
}

part_build() {
    hack/corpus.sh
    control_plane
    python3 hack/bench/controller.py "$patchset" "$cluster" "$corpus/nova.git" 31.0.0 32.0.0
}

part_fleet() {
    control_plane
    python3 hack/bench/fleet.py "$patchset" "$cluster"
}

part_one() {
    control_plane
    python3 hack/bench/many.py "$patchset" "$cluster" 200 1
}

part_many() {
    control_plane
    python3 hack/bench/many.py "$patchset" "$cluster" 10000 100
}

part_shards() {
    control_plane
    python3 hack/bench/shards.py "$patchset" "$cluster" 10000 100 3
}

part_flux() {
    need_flux
    control_plane
    python3 hack/bench/flux.py "$(program kustomize-controller)" "$PATCHSET_CACHE/flux" "$cluster" 200
}

# about PART: what it measures.
about() {
    case $1 in
        apply) printf 'applying patches\n' ;;
        failing) printf 'patches of which two thirds do not apply\n' ;;
        fetch) printf 'fetching\n' ;;
        engine) printf 'the engine against libgit2 and diffy\n' ;;
        build) printf 'from a change to a build\n' ;;
        fleet) printf '2,000 objects from one repository\n' ;;
        one) printf '200 objects on one upstream\n' ;;
        many) printf '10,000 objects on 100 upstreams: some six minutes\n' ;;
        shards) printf '10,000 objects shared by three controllers, then by four: some six minutes\n' ;;
        flux) printf '200 Kustomizations of Flux, for what it costs an object\n' ;;
        *) die "no such part: $1; usage: hack/bench.sh [apply|failing|fetch|engine|build|fleet|one|many|shards|flux]..." ;;
    esac
}

# measure PART: one part, whatever becomes of it.
measure() {
    local others status=0
    others=$(others_at_work)
    say "$(about "$1") (other work takes $others % of the processors)"
    [ "$others" -lt 10 ] || printf '\nOther work took %d %% of the processors before this was measured:\n\n' "$others"
    # A failure ends only this part. Its status is read afterwards: where a command's status is
    # tested at once, bash ignores set -e.
    set +e
    (
        set -e
        "part_$1"
    )
    status=$?
    set -e
    others=$(others_at_work)
    [ "$others" -lt 10 ] || printf '\nOther work took %d %% of the processors after that.\n\n' "$others"
    if [ "$status" -ne 0 ]; then
        say "NOT MEASURED to its end: $(about "$1")"
        not_measured+=("$1")
    fi
}

[ $# -gt 0 ] || set -- apply failing fetch engine build fleet one many shards flux
for part in "$@"; do
    about "$part" >/dev/null
done
if [ -z "${PATCHSET_PROGRAM:-}" ]; then
    long "build patchset for release" cargo build --release --locked --quiet
fi
for part in "$@"; do
    measure "$part"
done
[ ${#not_measured[@]} -eq 0 ] || die "not measured to their end: ${not_measured[*]}"
