# shellcheck shell=bash
# Steps that take a while, several at a time, and one display of all of them: on a terminal lines that are drawn anew in
# place, else a line where a step begins, one where it ends, and each half minute what still runs.
#
#   step NAME FIRST AGAIN TEXT   lists a step, with the seconds that it takes the first time, and where all is there
#   begin NAME COMMAND...        starts it in the background, with its output in a log
#   await NAME...                waits for steps that were begun. Where one fails: the end of its log, where the whole log
#                                is, and status 1
#   end_steps                    ends what still runs, with all that it started. An EXIT trap of a script's own calls it
#   long TEXT COMMAND...         a step by itself
#
# The display exists only during a wait, so it never meets what is printed between two waits.

steps=()
declare -A step_text=() step_first=() step_again=() step_folder=() step_pid=() step_begun=() step_took=() step_status=()
# Seconds between two lines that say what still runs, where there is no terminal.
step_heartbeat=30
# How many lines the display has. It is set by the very command that prints or erases them: traps
# run between commands, and the one that removes the display must find the count that is on the
# terminal.
step_lines=0

trap end_steps EXIT
# Otherwise bash goes on if the command that it waits for handles the signal itself.
trap 'exit 130' INT TERM HUP

# duration SECONDS: as in "2 min 5 s".
duration() {
    local minutes=$(($1 / 60)) seconds=$(($1 % 60))
    if [ "$minutes" -eq 0 ]; then
        printf '%d s' "$seconds"
    else
        printf '%d min' "$minutes"
        [ "$seconds" -eq 0 ] || printf ' %d s' "$seconds"
    fi
}

step() {
    steps+=("$1")
    step_first[$1]=$(duration "$2")
    step_again[$1]=$(duration "$3")
    step_text[$1]=$4
}

# state_line STATE TIME TEXT: a line of the display.
state_line() {
    printf '    %-7s  %-25s  %s' "$@"
}

# step_in_place: whether lines can be redrawn.
step_in_place() {
    [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]
}

begin() {
    local name=$1
    shift
    if [ -z "${step_text[$name]:-}" ]; then
        steps+=("$name")
        step_text[$name]=$name
    fi
    # The log, and what the step keeps for itself while it runs.
    step_folder[$name]=$(mktemp -d -t patchset-step-XXXXXX)
    chmod 711 "${step_folder[$name]}"
    step_begun[$name]=$EPOCHSECONDS
    step_status[$name]=
    if ! step_in_place; then
        printf '==> %s%s\n' "${step_text[$name]}" \
            "${step_first[$name]:+ (${step_first[$name]} the first time, else ${step_again[$name]})}" >&2
    fi
    run_step "${step_folder[$name]}" "$@" >"${step_folder[$name]}/log" 2>&1 </dev/null &
    step_pid[$name]=$!
}

# run_step FOLDER COMMAND...: what the process of a step does. It may have steps of its own.
run_step() {
    local steps=()
    local -A step_text=()
    export TMPDIR=$1
    shift
    # So that the log's time is that of the end, whenever it is checked.
    trap 'touch "$TMPDIR/log"' EXIT
    "$@"
}

# running_steps: the names of the steps that run, one a line.
running_steps() {
    local name
    for name in "${steps[@]}"; do
        [ -z "${step_pid[$name]:-}" ] || [ -n "${step_status[$name]}" ] || printf '%s\n' "$name"
    done
}

# time_of_step NAME: how long a step has been running, and how long it is expected to.
time_of_step() {
    printf '%s%s' "$(duration $((EPOCHSECONDS - step_begun[$1])))" "${step_first[$1]:+ of ${step_first[$1]}}"
}

# note_ended: notes and reports which steps have ended since the last call.
note_ended() {
    local name names status
    mapfile -t names < <(running_steps)
    for name in "${names[@]}"; do
        kill -0 "${step_pid[$name]}" 2>/dev/null && continue
        status=0
        wait "${step_pid[$name]}" || status=$?
        step_status[$name]=$status
        step_took[$name]=$(duration $(($(date -r "${step_folder[$name]}/log" +%s) - step_begun[$name])))
        clear_display
        if [ "$status" -eq 0 ]; then
            printf '%s\n' "$(state_line 'done' "${step_took[$name]}" "${step_text[$name]}")" >&2
            rm -rf --one-file-system "${step_folder[$name]}"
        else
            printf '%s\n' "$(state_line failed "${step_took[$name]}" "${step_text[$name]}")" >&2
            find "${step_folder[$name]}" -xdev -mindepth 1 ! -name log -delete 2>/dev/null || true
        fi
    done
}

# draw_display: shows the steps that run, each with the last line of its log, and those that wait.
draw_display() {
    local name line detail columns lines=()
    columns=$(stty size <&2 2>/dev/null) || true
    columns=${columns#* }
    [ "${columns:-0}" -gt 0 ] || columns=80
    for name in "${steps[@]}"; do
        if [ -z "${step_pid[$name]:-}" ]; then
            line=$(state_line waiting "${step_first[$name]}, else ${step_again[$name]}" "${step_text[$name]}")
        elif [ -z "${step_status[$name]}" ]; then
            detail=$(tail -n 1 "${step_folder[$name]}/log" | tr -d '[:cntrl:]' | sed 's/^[ =>]*//')
            line=$(state_line running "$(time_of_step "$name")" "${step_text[$name]}${detail:+: $detail}")
        else
            continue
        fi
        lines+=("${line:0:columns-1}")
    done
    clear_display
    [ ${#lines[@]} -eq 0 ] || printf '%s\n' "${lines[@]:0:step_lines=${#lines[@]}}" >&2
}

# clear_display: takes the display away.
clear_display() {
    local shown_lines
    [ "$step_lines" -eq 0 ] ||
        printf '\r\033[%dA\033[J' "$((shown_lines = step_lines, step_lines = 0, shown_lines))" >&2
}

# tell_running: prints a line on what still runs, where nothing can be redrawn.
tell_running() {
    local name told=
    while read -r name; do
        told+="${told:+; }${step_text[$name]} ($(time_of_step "$name"))"
    done < <(running_steps)
    printf '    still running: %s\n' "$told" >&2
}

# tell_failed NAME: the end of the log of a step that failed, and where the whole log is.
tell_failed() {
    tail -n 40 "${step_folder[$1]}/log" >&2
    printf 'error: failed after %s with exit status %s: %s; the end of the log is above, the whole is in %s\n' \
        "${step_took[$1]}" "${step_status[$1]}" "${step_text[$1]}" "${step_folder[$1]}/log" >&2
}

await() {
    local name shown=$EPOCHSECONDS runs=yes
    while [ -n "$runs" ]; do
        note_ended
        runs=
        for name in "$@"; do
            case ${step_status[$name]} in
                '') runs=yes ;;
                0) ;;
                *)
                    clear_display
                    tell_failed "$name"
                    return 1
                    ;;
            esac
        done
        [ -n "$runs" ] || break
        if step_in_place; then
            # Once a second, and after a line about an ended step.
            if [ "$step_lines" -eq 0 ] || [ "$shown" -ne "$EPOCHSECONDS" ]; then draw_display; fi
            shown=$EPOCHSECONDS
        elif [ $((EPOCHSECONDS - shown)) -ge "$step_heartbeat" ]; then
            tell_running
            shown=$EPOCHSECONDS
        fi
        sleep 0.2
    done
    clear_display
}

long() {
    local text=$1
    shift
    begin "$text" "$@"
    await "$text"
}

# end_tree PID: ends a process and its descendants, each halted first so that it starts
# nothing meanwhile.
end_tree() {
    local child children
    kill -STOP "$1" 2>/dev/null || return 0
    read -r -d '' -a children < <(cat "/proc/$1/task/"*/children 2>/dev/null) || true
    for child in "${children[@]}"; do end_tree "$child"; done
    kill -TERM "$1" 2>/dev/null || true
    kill -CONT "$1" 2>/dev/null || true
}

end_steps() {
    local name names
    # The terminal may have gone away.
    clear_display || true
    mapfile -t names < <(running_steps)
    for name in "${names[@]}"; do
        end_tree "${step_pid[$name]}"
        wait "${step_pid[$name]}" 2>/dev/null || true
        rm -rf --one-file-system "${step_folder[$name]}"
    done
}
