# shellcheck shell=bash
# What every script here shares: where things are kept, messages, and steps that take a while.

# shellcheck disable=SC2034 # for the scripts that source this one
PATCHSET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATCHSET_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/patchset
PATCHSET_BIN=$PATCHSET_CACHE/bin

# shellcheck source-path=SCRIPTDIR source=progress.sh
. "$PATCHSET_ROOT/hack/lib/progress.sh"

# say TEXT...: what happens now, on standard error, because standard output belongs to results.
say() {
    printf '==> %s\n' "$*" >&2
}

# die TEXT...: what is wrong and what to do, then the end.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# find_program NAME: prints the path of a program: from KUBEBUILDER_ASSETS, from PATH, or from the cache.
find_program() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; then
        printf '%s\n' "$KUBEBUILDER_ASSETS/$1"
    elif command -v "$1" >/dev/null; then
        command -v "$1"
    elif [ -x "$PATCHSET_BIN/$1" ]; then
        printf '%s\n' "$PATCHSET_BIN/$1"
    else
        return 1
    fi
}
