#!/usr/bin/env bash
# Everything that must hold: format, lints, licences, scripts, and all tests against real Git servers and a real
# API server. Gets what is missing first (hack/setup.sh). The last lines are the test runner's own summary.
#
# hack/test.sh --quick runs what needs nothing but Rust, and no server: for the loop of a developer.
#
# CARGO_TARGET_DIR and RUST_TEST_THREADS are honoured where they are set.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$(dirname "$0")/lib/tools.sh"
cd "$PATCHSET_ROOT"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PATCHSET_CACHE/target}
# The tests wait for servers more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
# A snapshot that differs fails and is not written.
export INSTA_UPDATE=no

case ${1:-} in
"") ;;
--quick)
    say "format"
    cargo fmt --all --check
    say "tests that need no server"
    exec cargo test --locked --workspace --lib --test rules --test merge --test edit
    ;;
*)
    echo "usage: hack/test.sh [--quick]" >&2
    exit 2
    ;;
esac

# A full disk shows as many different failures, some of them half an hour later. The first time, API
# server and builder are built too.
if [ -d "$CARGO_TARGET_DIR/debug" ]; then need_space 8 "$CARGO_TARGET_DIR"; else need_space 16 "$CARGO_TARGET_DIR"; fi
need_space 3 "${TMPDIR:-/tmp}"
hack/setup.sh

say "format"
cargo fmt --all --check

say "shell scripts"
git ls-files -z --cached --others --exclude-standard '*.sh' .ci | xargs -0 shellcheck -x

say "what the scripts rely on"
python3 -B -m unittest discover --quiet --start-directory hack/chaos
python3 -B -m unittest discover --quiet --start-directory hack/lib

say "lints"
cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

say "the commands that need no cluster, without the controller"
cargo clippy --locked --no-default-features --lib --bins --quiet -- -D warnings
cargo clippy --locked --no-default-features --features keys,sbom --lib --bins --quiet -- -D warnings
cargo clippy --locked --package git-mirrors --no-default-features --lib --quiet -- -D warnings

say "the libraries alone: without features, their documentation, and what would be published"
libraries=()
for library in crates/*/; do libraries+=(--package "$(basename "$library")"); done
cargo clippy --locked --lib "${libraries[@]}" --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features "${libraries[@]}" --quiet
cargo package --locked --no-verify --allow-dirty "${libraries[@]}" --quiet

say "licences, sources and banned crates"
cargo deny --locked --log-level error check --show-stats bans licenses sources

say "security advisories"
advisories=$(cargo deny --locked --color never check advisories 2>&1) || {
    if [[ $advisories == *"failed to fetch advisory database"* ]]; then
        say "NOT CHECKED: the advisory database cannot be reached from here"
    else
        printf '%s\n' "$advisories" >&2
        exit 1
    fi
}

if [ -x hack/corpus.sh ]; then
    say "the corpus of real patches"
    hack/corpus.sh
fi

say "tests"
cargo test --locked --workspace
