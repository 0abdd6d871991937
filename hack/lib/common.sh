# shellcheck shell=bash
# What every script here shares: where things are kept, how progress is told.

# shellcheck disable=SC2034 # for the scripts that source this one
PATCHSET_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATCHSET_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/patchset
PATCHSET_BIN=$PATCHSET_CACHE/bin

# say TEXT...: what happens now, on standard error, because standard output belongs to results.
say() {
    printf '==> %s\n' "$*" >&2
}

# die TEXT...: what is wrong and what to do, then the end.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# as_root COMMAND...: runs a command as root, through sudo where the caller is somebody else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root: run it yourself, or install sudo"
    fi
}

# long TEXT COMMAND...: runs a step that takes a while. Shows that it lives (on a terminal every second in
# place, else a line each half minute), keeps its output to itself, and shows the end of it if it fails.
long() {
    local what=$1 log pid started status=0 shown=0 elapsed
    shift
    log=$(mktemp)
    started=$SECONDS
    say "$what"
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        elapsed=$((SECONDS - started))
        if [ -t 2 ] && [ "$elapsed" -ne "$shown" ]; then
            printf '\r    %d s ' "$elapsed" >&2
            shown=$elapsed
        elif [ ! -t 2 ] && [ $((elapsed - shown)) -ge 30 ]; then
            printf '    still at it after %d s\n' "$elapsed" >&2
            shown=$elapsed
        fi
    done
    wait "$pid" || status=$?
    elapsed=$((SECONDS - started))
    if [ -t 2 ]; then
        printf '\r' >&2
    fi
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        printf 'error: failed after %d s (exit status %d): %s\n' "$elapsed" "$status" "$what" >&2
        return "$status"
    fi
    printf '    done in %d s\n' "$elapsed" >&2
    rm -f "$log"
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
