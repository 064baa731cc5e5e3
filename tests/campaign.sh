#!/usr/bin/env bash
# The long form of tests/fleet.rs: every reuse class under every fault. `tests/campaign.sh --help` says more.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: tests/campaign.sh [options]

Runs real node processes on one Redis against a provider of each reuse class, cell by cell: a class and
a fault at a time. In each cell four nodes keep sessions with tokens of 5 s alive while the fault
strikes at random; the provider's log then says how often each refresh token was presented, and which
fault each lost session is owed to. A cell fails if a session is lost that promise P5 does not name, or
a refresh token is presented again without a fault.

A run that was stopped goes on where it was: cells that passed are kept. Needs what tests/run.sh needs,
and redis-server.

  --minutes N      begin no cell after so many minutes; default 90
  --only WORD      only cells whose name has WORD in it, such as R- or -kill
  --sessions N     sessions of each class in a cell; default 100
  --callers N      callers on each node; default 20
  --seconds N      how long faults strike in a cell; default 60
  --release        an optimized build, with the checks of a debug build
  --out FILE       where the table goes; default: only the terminal
  --losses FILE    where each lost session goes, with the provider's log lines that say why
  --state FOLDER   where finished cells and logs are kept; default: campaign in the build folder
  --fresh          forget finished cells
  --list           print the names of the cells, and run none
  --help           this text

Environment: CARGO_TARGET_DIR as for cargo; TOKENHIVE_SEED repeats every random choice of a cell.

Exit status: 0 every cell passed, 1 one failed, 2 the command line is wrong, 3 the time was up before
the last cell.
TEXT
}

wrong() {
    printf 'tests/campaign.sh: %s\n\n' "$1" >&2
    usage >&2
    exit 2
}

minutes=90 only='' losses='' sessions=100 callers=20 seconds=60 profile=debug out='' state='' fresh=false list=false
while [[ $# -gt 0 ]]; do
    option=$1
    shift
    case "$option" in
        --minutes | --only | --sessions | --callers | --seconds | --out | --losses | --state)
            [[ $# -gt 0 ]] || wrong "$option needs a value"
            printf -v "${option#--}" '%s' "$1"
            shift
            ;;
        --release) profile=release ;;
        --fresh) fresh=true ;;
        --list) list=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) wrong "unknown option $option" ;;
    esac
done
for number in "$minutes" "$sessions" "$callers" "$seconds"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || wrong "$number is not a number above zero"
done

# The promise's own runs first, without a fault and with Redis gone for five minutes; then what can lose a session, then what cannot.
cells=(promise-none promise-outage all-none all-all)
for class in R S G I M N; do
    for fault in all kill halt lose-request lose-answer 502-after-commit redis-halt redis-kill; do
        cells+=("$class-$fault")
    done
done
wanted=()
for cell in "${cells[@]}"; do
    [[ $cell == *"$only"* ]] && wanted+=("$cell")
done
[[ ${#wanted[@]} -gt 0 ]] || wrong "no cell has $only in its name; see --list"
if $list; then
    printf '%s\n' "${wanted[@]}"
    exit 0
fi

# Names the source as it is, changes that are not committed included.
source_digest() {
    git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock src tests |
        xargs -0 cat 2>/dev/null | sha256sum | cut -c 1-12
}

target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenhive/target}
export CARGO_TARGET_DIR=$target CARGO_TERM_COLOR=never
state=${state:-$target/campaign}
mkdir -p "$state"
# What an older source or other sizes came to says nothing about these.
finished=$state/finished-$(source_digest)-$profile-$sessions-$callers-$seconds
if $fresh; then
    rm -f "$finished"
fi
touch "$finished"

build=(cargo test --locked --all-features --test fleet --no-run --message-format json)
if [[ $profile == release ]]; then
    export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
    build+=(--release)
fi
printf 'building (%s)\n' "$profile"
binary=$("${build[@]}" 2>"$state/build.log" | sed -n 's/.*"executable":"\([^"]*fleet-[^"]*\)".*/\1/p' | tail -n 1) || {
    cat "$state/build.log" >&2
    exit 1
}
[[ -x $binary ]] || wrong 'the test binary was not built'

running=
finish() {
    if [[ -n $running ]]; then
        kill "$running" 2>/dev/null || true
    fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# Runs one test of the binary; its output goes to the cell's log.
run_test() {
    local test=$1 log=$2
    timeout --kill-after 10 $((seconds + 600)) "$binary" --exact "$test" --include-ignored --nocapture \
        >"$log" 2>&1 </dev/null &
    running=$!
    local status=0
    wait "$running" || status=$?
    running=
    return "$status"
}

run_cell() {
    local cell=$1 log=$2
    if [[ $cell == promise-none ]]; then
        TOKENHIVE_CAMPAIGN=full run_test \
            without_faults_every_refresh_token_is_presented_once_and_no_reader_meets_an_error "$log"
    elif [[ $cell == promise-outage ]]; then
        TOKENHIVE_CAMPAIGN=full run_test \
            while_redis_is_gone_valid_tokens_are_served_and_on_its_return_it_has_every_answer "$log"
    else
        TOKENHIVE_CELL="classes=${cell%%-*} faults=${cell#*-} sessions=$sessions callers=$callers seconds=$seconds" \
            run_test campaign_cell "$log"
    fi
}

began=$SECONDS failed=() left=0 number=0
for cell in "${wanted[@]}"; do
    number=$((number + 1))
    if grep -q "^$cell " "$finished"; then
        printf '[%d/%d] %s: passed before\n' "$number" "${#wanted[@]}" "$cell"
        continue
    fi
    if ((SECONDS - began >= minutes * 60)); then
        left=$((left + 1))
        continue
    fi
    printf '[%d/%d] %s: ' "$number" "${#wanted[@]}" "$cell"
    cell_began=$SECONDS
    log=$state/$cell.log
    if run_cell "$cell" "$log"; then
        printf 'passed in %d s\n' $((SECONDS - cell_began))
        sed -n "s/^ROW /$cell /p" "$log" >>"$finished"
    else
        printf 'FAILED after %d s; see %s\n' $((SECONDS - cell_began)) "$log"
        grep -h 'TOKENHIVE_SEED=' "$log" || true
        failed+=("$cell")
    fi
    sed -n 's/^class /    class /p' "$log"
done

table() {
    printf '| class | fault | sessions | cycles | provider calls | calls per generation | answers lost | reuse detected | sessions lost | owed to a fault of P5 |\n'
    printf '|---|---|---|---|---|---|---|---|---|---|\n'
    local cell
    for cell in "${wanted[@]}"; do
        sed -n "s/^$cell //p" "$finished"
    done
    for cell in "${failed[@]}"; do
        printf '| %s | %s | failed | | | | | | | |\n' "${cell%%-*}" "${cell#*-}"
    done
}

printf '\n'
table
if [[ -n $out ]]; then
    table >"$out"
    printf '\nthe table is in %s\n' "$out"
fi
if [[ -n $losses ]]; then
    for cell in "${wanted[@]}"; do
        [[ -f $state/$cell.log ]] || continue
        awk -v cell="$cell" '
            /^class / { class = substr($2, 1, 1) }
            /^    lost / {
                if (!seen++) printf "## %s\n\n", cell
                sub(/^    lost /, "")
                printf "- %s, %s\n", class, $0
            }
            END { if (seen) print "" }' "$state/$cell.log"
    done >"$losses"
    printf '\nevery lost session is in %s\n' "$losses"
fi
if ((left > 0)); then
    printf '\nthe time was up with %d cells left; run it again to go on\n' "$left"
fi
if [[ ${#failed[@]} -gt 0 ]]; then
    printf '\nFAILED: %s\n' "${failed[*]}"
    exit 1
fi
((left == 0)) || exit 3
