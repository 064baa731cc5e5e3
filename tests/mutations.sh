#!/usr/bin/env bash
# Removes one guard of the protocol at a time and demands that a test fails. `tests/mutations.sh --help` says more.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
usage: tests/mutations.sh [options] [NAME…]

Works on a copy of the source. For each guard: changes the copy so that the guard is gone, makes sure
that the copy changed and still compiles, runs the smallest selection of tests that watches the guard,
and demands that it fails. The same tests pass on the unchanged copy first. Without names all guards
are tried. A run that was stopped goes on where it was. Needs what tests/run.sh needs, redis-server,
and perl.

  --minutes N      begin nothing after so many minutes; default 120
  --out FILE       where the table goes; default: only the terminal
  --state FOLDER   where the copy, logs and results are kept; default: mutations in the build folder
  --fresh          forget results
  --fits           only make sure that every change fits the source; builds nothing
  --list           print the names of the guards, and try none
  --help           this text

Environment: CARGO_TARGET_DIR as for cargo.

Exit status: 0 every guard is watched, 1 one is not, 2 the command line is wrong or a change does not
fit the source, 3 the time was up before the last guard.
TEXT
}

wrong() {
    printf 'tests/mutations.sh: %s\n\n' "$1" >&2
    usage >&2
    exit 2
}

# Guards, side by side. A change is a file and a perl expression, parted by a tab; changes by line ends.
guards=() whats=() selections=() changes=()
guard() {
    guards+=("$1") whats+=("$2") selections+=("$3")
    local change=''
    shift 3
    while [[ $# -gt 0 ]]; do
        change+="$1"$'\t'"$2"$'\n'
        shift 2
    done
    changes+=("$change")
}

ledger='--lib ledger::'
contract='--test redis_store one_server_keeps_the_contract'

guard late-commit-keeps-slot "a late commit leaves the holder's slot" \
    "$ledger" \
    src/ledger/commit.rs \
    's/record\.release\(request\.attempt\);/record.slot = None;/'

guard late-commit-keeps-slot-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/commit.lua \
    's/^if holds then r\.slot = nil end/r.slot = nil/m'

guard no-begin-in-suspect "nothing begins while a session is suspect" \
    "$ledger" \
    src/ledger/begin.rs \
    's/Status::Suspect \{ until \} => return Some\(BeginReply::Suspect \{ until \}\),/Status::Suspect { .. } => {}/'

guard no-begin-in-suspect-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/begin.lua \
    's/^if r\.status == 1 then .*\n//m'

guard generation-compared "an older exchange never replaces a newer one" \
    "$ledger" \
    src/ledger/commit.rs \
    's/if record\.generation > target \{/if record.generation > target + 1000 {/'

guard generation-compared-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/commit.lua \
    's/^if r\.gen > target then/if r.gen > target + 1000 then/m'

guard sequence-compared "of two answers of one generation the later exchange's stands" \
    "$ledger" \
    src/ledger/commit.rs \
    's/if request\.sequence > record\.committed_sequence && may_install/if may_install/'

guard sequence-compared-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/commit.lua \
    's/elseif seq > r\.cseq and \(not r\.slot or holds\) then/elseif not r.slot or holds then/'

guard minimum-generation "nothing begins on a record older than what the node has seen" \
    "$ledger" \
    src/ledger/begin.rs \
    's/if record\.generation < request\.minimum_generation \{/if record.generation + 1000 < request.minimum_generation {/'

guard minimum-generation-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/begin.lua \
    's/^if r\.gen < number\(5\) then .*\n//m'

guard patience "a silent exchange is taken over only after the patience" \
    "$ledger" \
    src/ledger/begin.rs \
    's/ && slot\.until <= now;/;/'

guard patience-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/begin.lua \
    's/ and r\.slot\.till <= now\)/)/'

guard cap-of-tries "a generation is tried so often and no more" \
    "$ledger" \
    src/ledger/begin.rs \
    's/\(record\.tries >= request\.max_tries\)/(record.tries >= 1000)/'

guard cap-of-tries-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/begin.lua \
    's/if r\.tries >= number\(9\) then .*\n/\n/'

guard tombstone "no commit brings a deleted session back" \
    "$ledger" \
    src/ledger/commit.rs \
    's/&& entry\.has_lost\(now, origin\)/\&\& entry.record.is_none()/'

guard tombstone-lua "the same in Redis" \
    "$contract" \
    src/store/redis/lua/commit.lua \
    's/if why == '\''GONE'\'' or not text\(6\) then/if not text(6) then/'

guard durable-before-served "no reader sees tokens that neither store nor journal has" \
    '--test store_faults tokens_wait_for_a_store_that_fails_and_nobody_sees_them_before' \
    src/actors/session/homecoming.rs \
    's/(let journaled = self\.write_down\(&home\.commit\);)/let origin = &leave.redeem.sealed.origin;\n        let early = Installed { generation: leave.redeem.base + 1, version: origin.version + 1 };\n        self.show(&home, early, leave.given);\n        $1/'

guard send-deadline "nothing is sent late" \
    '--test fleet a_node_that_was_held_up_before_it_sent_sends_nothing' \
    src/actors/session/exchange.rs \
    's/if sent_at > send_by \{/if sent_at > BootTime::NEVER {/' \
    src/oauth/http/timely.rs \
    's/self\.clock\.boot\(\) > self\.by/self.clock.boot() > BootTime::NEVER/'

guard late-answer-is-read "an answer that came while the process was halted is read" \
    '--test fleet a_halted_holders_late_answer' \
    src/oauth/http.rs \
    's/true => LAST_LOOK,/true => Duration::ZERO,/'

guard journal-replayed "answers in the journal reach the store at the next start" \
    '--test crash_points an_answer_that_only_the_journal_has' \
    src/hive/builder.rs \
    's/actors::replay\(&supervisor, recovered, read_at\)\.await;/drop((recovered, read_at));/'

guard journal-needed "nothing begins that cannot be written down" \
    '--test redis_hive a_full_journal_stops_refreshes' \
    src/actors/session/exchange.rs \
    's/if self\.entry\.provider\.reuse_class\(\)\.needs_journal\(\) =>/if self.known.snapshot.generation() == 0 =>/'

guard quarantine "nothing begins on a server that may have lost writes" \
    '--test redis_outage a_node_that_comes_while_the_server_settles' \
    src/store/redis/mod.rs \
    's/        self\.link\.settled\(\)\?;\n//'

guard slots-put-back "exchanges in flight are put back" \
    '--test rolled_back an_exchange_in_flight' \
    src/actors/keeper.rs \
    's/= put_back_slots\(supervisor\)\.await;/= true;/'

guard answers-put-back "answers are put back" \
    '--test rolled_back a_generation_that_redis_forgot' \
    src/actors/keeper.rs \
    's/told &= tell_store\(supervisor, remembered, read_at\)\.await;/drop((remembered, read_at));/'

guard logouts-put-back "deletions are put back, whatever was refreshed since" \
    '--test rolled_back a_logout_that_redis_forgot' \
    src/store/redis/lua/bury.lua \
    's/r\.grant > number\(2\)/r.gen > number(2)/'

guard slots-keep-tokens "a slot that is put back takes no valid token away" \
    '--test redis_rollback a_slot_that_is_put_back' \
    src/actors/in_flight.rs \
    's/^            expires_in,$/            expires_in: expires_in.map(|_| Duration::ZERO),/m'

guard versions-go-up "readers see what is newer although the store's versions went back" \
    '--test redis_rollback readers_see_what_is_newer' \
    src/actors/session/exchange.rs \
    's/origin\.version\.max\(self\.version_seen\(\)\)/origin.version/'

guard beyond-recall "what nobody can bring back does not wait for ever" \
    '--test redis_rollback what_nobody_can_bring_back' \
    src/actors/session/exchange.rs \
    's/if had_time && shared\.put_back/if false \&\& had_time \&\& shared.put_back/'

guard put-back-awaited "an older record is believed only after everything was put back" \
    '--test store_faults an_answer_of_ones_own' \
    src/actors/session/exchange.rs \
    's/if had_time && shared\.put_back\.done_since\(since\)/if had_time/'

guard masters-watched "a change of masters in a cluster is noticed" \
    '--test redis_cluster every_change_of_a_shards_master' \
    src/store/redis/tend.rs \
    's/ && !owners\.is_subset\(&self\.owners\);/ \&\& false;/' \
    src/store/redis/tend.rs \
    's/            self\.known = ids;/            self.known.extend(ids);/'

guard shards-confirm "each shard waits for the replicas it has" \
    '--test redis_cluster each_shard_waits' \
    src/store/redis/confirm.rs \
    's/let wanted = match answers\.next\(\)\.and_then\(replicas_of\)/let wanted = match None::<u32>/'

guard failures-remind "a store that forgot an exchange is told of it before its failure" \
    '--test store_faults a_failure_of_an_exchange_that_the_store_forgot' \
    src/actors/session/failure.rs \
    's/FailReply::Absent => true,/FailReply::Absent => false,/; s/=> \*generation <= base,/=> *generation + 1000 <= base,/'

guard replicas-confirm "nothing is sent before the replicas know of it" \
    '--test redis_outage without_confirmation_of_the_replicas' \
    src/store/redis/mod.rs \
    's/Some\(seen\)\.filter\(\|seen\| seen\.by < seen\.wanted\)/Some(seen).filter(|seen| seen.by > seen.wanted)/'

guard logout-heard "a deletion on another node stops readers" \
    '--test fleet a_logout_on_one_node' \
    src/actors/listener.rs \
    's/            Ok\(News::Deleted \{ key, version \}\) => \{.*?\n            \}\n/            Ok(News::Deleted { .. }) => {}\n/s'

minutes=120 out='' state='' fresh=false fits=false list=false names=()
while [[ $# -gt 0 ]]; do
    option=$1
    shift
    case "$option" in
        --minutes | --out | --state)
            [[ $# -gt 0 ]] || wrong "$option needs a value"
            printf -v "${option#--}" '%s' "$1"
            shift
            ;;
        --fresh) fresh=true ;;
        --fits) fits=true ;;
        --list) list=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) wrong "unknown option $option" ;;
        *) names+=("$option") ;;
    esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || wrong "$minutes is not a number above zero"

wanted=()
for index in "${!guards[@]}"; do
    if [[ ${#names[@]} -eq 0 || " ${names[*]} " == *" ${guards[index]} "* ]]; then
        wanted+=("$index")
    fi
done
[[ ${#wanted[@]} -ge ${#names[@]} && ${#wanted[@]} -gt 0 ]] || wrong 'there is no guard of that name; see --list'
if $list; then
    for index in "${wanted[@]}"; do printf '%s\n' "${guards[index]}"; done
    exit 0
fi
command -v perl >/dev/null || wrong 'perl is needed'

# Names the source as it is, changes that are not committed included.
source_digest() {
    git ls-files -z --cached --others --exclude-standard -- Cargo.toml Cargo.lock src tests |
        xargs -0 cat 2>/dev/null | sha256sum | cut -c 1-12
}

# What is built of a changed copy must never be taken for the source: it has a folder of its own.
state=${state:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenhive/target}/mutations}
export CARGO_TARGET_DIR=$state/build CARGO_TERM_COLOR=never CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-1}
mkdir -p "$state"
# What an older source came to says nothing about this one.
results=$state/results-$(source_digest) copy=$state/tree
if $fresh; then
    rm -f "$results"
fi
touch "$results"

# Files keep their times, so that cargo builds again only what a change or its end touches.
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
        [[ -f $file ]] || continue
        if ! cmp -s "$file" "$copy/$file"; then
            mkdir -p "$copy/$(dirname "$file")"
            cp "$file" "$copy/$file"
        fi
    done

test_of() {
    local selection=$1 log=$2
    shift 2
    # shellcheck disable=SC2086 # a selection is several words
    (cd "$copy" && timeout 900 cargo test --locked --all-features $selection "$@" >"$log" 2>&1 </dev/null)
}

# Puts files of the copy back as they are here.
restore() {
    local file
    while IFS=$'\t' read -r file _; do
        if [[ -n $file ]]; then
            cp "$file" "$copy/$file"
        fi
    done <<<"$1"
}

# Removes a guard from the copy. It may be there under another shape by now: that has to be noticed.
remove() {
    local name=$1 file expression
    while IFS=$'\t' read -r file expression; do
        [[ -n $file ]] || continue
        perl -0pi -e "$expression" "$copy/$file"
        if cmp -s "$file" "$copy/$file"; then
            restore "$2"
            wrong "$name: the change does not fit $file any more"
        fi
    done <<<"$2"
}

if $fits; then
    for index in "${wanted[@]}"; do
        remove "${guards[index]}" "${changes[index]}"
        restore "${changes[index]}"
    done
    printf 'all %d changes fit the source\n' "${#wanted[@]}"
    exit 0
fi

began=$SECONDS left=0 number=0 unwatched=()
declare -A passes
for index in "${wanted[@]}"; do
    name=${guards[index]} selection=${selections[index]} change=${changes[index]}
    number=$((number + 1))
    if grep -q "^$name|" "$results"; then
        printf '[%d/%d] %s: tried before\n' "$number" "${#wanted[@]}" "$name"
        continue
    fi
    if ((SECONDS - began >= minutes * 60)); then
        left=$((left + 1))
        continue
    fi
    log=$state/$name.log
    if [[ -z ${passes[$selection]:-} ]]; then
        test_of "$selection" "$log" || {
            printf '%s: the tests fail without any change; see %s\n' "$name" "$log" >&2
            exit 1
        }
        grep -q '^test .* \.\.\. ok$' "$log" || wrong "the selection '$selection' has no test"
        passes[$selection]=yes
    fi

    remove "$name" "$change"
    verdict='is not watched'
    if ! test_of "$selection" "$log" --no-run; then
        printf '%s: the changed copy does not compile; see %s\n' "$name" "$log" >&2
        restore "$change"
        exit 2
    fi
    tried=$SECONDS
    if test_of "$selection" "$log"; then
        unwatched+=("$name")
    elif grep -q '^test result: FAILED' "$log"; then
        verdict="seen after $((SECONDS - tried)) s"
        red=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | head -n 1)
        printf '%s|%s|%s\n' "$name" "${whats[index]}" "${red:-$selection}" >>"$results"
    else
        verdict='is in doubt: the tests did not end'
        unwatched+=("$name")
    fi
    restore "$change"
    printf '[%d/%d] %s %s\n' "$number" "${#wanted[@]}" "$name" "$verdict"
done

table() {
    printf '| guard removed | what is gone | the test that fails |\n|---|---|---|\n'
    local index name
    for index in "${wanted[@]}"; do
        name=${guards[index]}
        if [[ " ${unwatched[*]:-} " == *" $name "* ]]; then
            printf '| %s | %s | none |\n' "$name" "${whats[index]}"
        else
            sed -n "s/^$name|\(.*\)|\(.*\)\$/| $name | \1 | \`\2\` |/p" "$results"
        fi
    done
}

printf '\n'
table
if [[ -n $out ]]; then
    table >"$out"
    printf '\nthe table is in %s\n' "$out"
fi
if ((left > 0)); then
    printf '\nthe time was up with %d guards left; run it again to go on\n' "$left"
fi
if [[ ${#unwatched[@]} -gt 0 ]]; then
    printf '\nNOT WATCHED: %s\n' "${unwatched[*]}"
    exit 1
fi
((left == 0)) || exit 3
