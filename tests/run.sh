#!/usr/bin/env bash
# Runs every test of tokenhive, and sets up what that takes. `tests/run.sh --help` says more.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
started=$SECONDS
quick=false

usage() {
    cat <<'TEXT'
usage: tests/run.sh [--quick]

Runs the whole test suite: unit, property and integration tests, the architecture test and the
examples in the documentation; those of docs/examples are compiled. Needs Rust, a C compiler and a
Redis: containers where a Docker engine runs, made of an image by tests/redis-image.sh, else
redis-server. Installs the compiler and redis-server with apt-get if it may, and says what to do if
it may not. Starts nothing that outlives it and needs no network once the dependencies are in
Cargo's cache.

  --quick   only the unit tests and the architecture test, which need no Redis
  --help    this text

Environment:
  CARGO_TARGET_DIR           where to build; default ${XDG_CACHE_HOME:-~/.cache}/tokenhive/target
  TOKENHIVE_TEST_REDIS       URL of a Redis for the tests that share one; they leave keys behind.
                             Those that kill or pause theirs still run their own
  TOKENHIVE_TEST_REDIS_VIA   container or process: run every Redis that way; default the first for
                             tests that share one, the second for the others, where both can be had

Exit status: 0 all passed, 1 a test failed, 2 something needed is missing.
TEXT
}

for argument in "$@"; do
    case "$argument" in
        --quick) quick=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            printf 'tests/run.sh: unknown argument %s\n\n' "$argument" >&2
            usage >&2
            exit 2
            ;;
    esac
done

heading() {
    printf '\n== %s\n' "$1"
}

missing() {
    printf 'tests/run.sh: %s\n' "$1" >&2
    exit 2
}

# Installs Debian packages if this user may; returns non-zero otherwise.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local as_root=()
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    printf 'installing %s with apt-get\n' "$*"
    "${as_root[@]}" apt-get update -qq </dev/null &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

need_rust() {
    # rustup writes its path into the shell's profile, which a script does not read.
    if ! command -v cargo >/dev/null && [[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    command -v cargo >/dev/null || missing "no cargo found. Install Rust first:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
and open a new shell."

    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d ' ' -f 2)
    [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
        missing "Rust $found is too old, $wanted is needed. Run: rustup update stable"
    printf 'rust %s\n' "$found"
}

# aws-lc-sys, the cryptography under TLS, is C and assembly. On the platforms it has bindings for
# (Linux, macOS and Windows on x86-64 and ARM64) a C compiler is all it asks; elsewhere, cmake too.
need_c_compiler() {
    local compiler=${CC:-cc}
    # A compiler that was asked for by name is not ours to install.
    if ! compiles "$compiler"; then
        if [[ -n ${CC:-} ]] || ! apt_install gcc libc6-dev || ! compiles "$compiler"; then
            missing "no working C compiler ($compiler). Install one, for instance:
  sudo apt-get install gcc libc6-dev"
        fi
    fi
    printf 'C compiler %s\n' "$compiler"
}

# The HTTP client refuses to start where no root certificates are installed, even for loopback.
need_root_certificates() {
    local place
    for place in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
        /etc/ssl/cert.pem; do
        if [[ -n $place && -s $place ]]; then
            printf 'root certificates %s\n' "$place"
            return
        fi
    done
    apt_install ca-certificates || missing "no root certificates found. Install them, for instance:
  sudo apt-get install ca-certificates"
}

# Where a Docker engine runs, the tests that share a Redis take a container; the others take
# redis-server if it is there, else containers too.
need_redis() {
    local via=${TOKENHIVE_TEST_REDIS_VIA:-}
    [[ -z ${TOKENHIVE_TEST_REDIS:-} ]] || echo 'Redis of TOKENHIVE_TEST_REDIS, for tests that share one'
    if [[ $via != process ]] && engine_runs; then
        if tests/redis-image.sh; then
            return
        fi
    fi
    [[ $via != container ]] || missing 'no containers for Redis, and TOKENHIVE_TEST_REDIS_VIA allows only them'
    command -v redis-server >/dev/null || install_redis ||
        missing 'no Redis found. Install one, for instance:
  sudo apt-get install redis-server
or start Docker, and run tests/redis-image.sh'
    printf '%s\n' "$(redis-server --version | cut -d ' ' -f 1-3)"
}

engine_runs() {
    command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1
}

# The package starts a server of its own, now and with the system, which no test asks for.
install_redis() {
    apt_install redis-server || return 1
    local as_root=()
    [[ $(id -u) == 0 ]] || as_root=(sudo -n)
    if [[ -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --quiet --now redis-server || true
    else
        "${as_root[@]}" service redis-server stop >/dev/null || true
        "${as_root[@]}" update-rc.d redis-server disable || true
    fi
}

compiles() {
    command -v "$1" >/dev/null || return 1
    printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' |
        "$1" -x c -o /dev/null - 2>/dev/null
}

heading 'set-up'
need_rust
need_c_compiler
need_root_certificates
$quick || need_redis
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenhive/target}
mkdir -p "$CARGO_TARGET_DIR"
printf 'building in %s\n' "$CARGO_TARGET_DIR"

failed=()
section() {
    local name=$1 section_started=$SECONDS
    shift
    heading "$name"
    if "$@" </dev/null; then
        printf '%s: passed in %d s\n' "$name" $((SECONDS - section_started))
    else
        printf '%s: FAILED after %d s\n' "$name" $((SECONDS - section_started))
        failed+=("$name")
    fi
}

if $quick; then
    section 'unit tests' cargo test --all-features --locked --lib
    section 'architecture' cargo test --all-features --locked --test architecture
else
    # --no-fail-fast: one run shows every failure.
    section 'unit and integration tests' \
        cargo test --all-features --locked --no-fail-fast --lib --bins --tests --examples
    section 'documentation tests' cargo test --all-features --locked --doc
fi

heading 'result'
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'FAILED after %d s: %s\n' $((SECONDS - started)) "$(
        IFS=,
        echo "${failed[*]}"
    )"
    exit 1
fi
printf 'all tests passed in %d s\n' $((SECONDS - started))
