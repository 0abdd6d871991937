#!/usr/bin/env bash
# The second step of action.yml: checks, and says what came of it.
#
#   PATCHSET   the command
#   UPSTREAM, DIRECTORY, BASE, ARGS, FIX   the inputs of action.yml
#   BASE_REF   the target branch of a pull request; empty elsewhere
set -euo pipefail

output=${GITHUB_OUTPUT:?}
report=${RUNNER_TEMP:?}/patchset-report-${GITHUB_RUN_ID:-0}-$$.json
directory=${DIRECTORY:-.}

arguments=(--upstream "${UPSTREAM:?name the input upstream}")
extra=()
while IFS= read -r line; do
    line=${line%$'\r'}
    [ -z "$line" ] || extra+=("$line")
done <<< "${ARGS:-}"

base=${BASE:-}
if [ -z "$base" ] && [ -n "${BASE_REF:-}" ]; then
    base=origin/$BASE_REF
    # A checkout with fetch-depth 2 has the merge, and the target branch as its first parent.
    git -C "$directory" rev-parse --quiet --verify "$base^{commit}" > /dev/null \
        || base="HEAD^1"
fi
[ -z "$base" ] || [ "$base" = none ] || arguments+=("--base=$base")

# A pull request has no branch checked out; its target says which release the patches are for.
branch=${BASE_REF:-${GITHUB_REF_NAME:-}}
if [ -n "$branch" ] && ! printf '%s\n' ${extra[@]+"${extra[@]}"} | grep -q '^--branch'; then
    arguments+=("--branch=$branch")
fi
[ -z "${FIX:-}" ] || arguments+=("--fix=$FIX")

status=0
"${PATCHSET:?}" check "${arguments[@]}" --output table --output github --output "json=$report" \
    ${extra[@]+"${extra[@]}"} -- "$directory" || status=$?

ok=false
[ "$status" -ne 0 ] || ok=true
fixed=false
if [ -n "${FIX:-}" ] && [ -n "$(ls -A -- "$FIX" 2> /dev/null)" ]; then
    fixed=true
fi
{
    printf 'ok=%s\n' "$ok"
    printf 'fixed=%s\n' "$fixed"
    printf 'report=%s\n' "$report"
} >> "$output"
exit "$status"
