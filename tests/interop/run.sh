#!/usr/bin/env bash
# Runs tokenhive against Canaille, an independent OpenID Connect provider, on loopback.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    cat <<'TEXT'
usage: tests/interop/run.sh [--probe]

Installs Canaille from PyPI into a scratch folder, starts it on a free port of 127.0.0.1 with one
user and one client, checks that it behaves as expected, and runs tests/interop.rs against it.
Stops it and removes the scratch folder afterwards. Needs python3 with venv, and PyPI.
Not part of tests/run.sh.

  --probe   only the check of Canaille itself, without tokenhive

Environment:
  TOKENHIVE_INTEROP_LIFETIME   lifetime of access (and refresh) tokens in seconds; default 12
TEXT
    exit 0
fi

python3 -c 'import venv, ensurepip' 2>/dev/null || {
    echo 'interop: python3 with venv is needed, for instance: sudo apt-get install python3-venv' >&2
    exit 2
}

here=$PWD/tests/interop
scratch=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT

echo 'interop: installing Canaille'
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check \
    'canaille[front,oidc,server,sqlite]>=0.3,<0.4'
PATH=$scratch/venv/bin:$PATH

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export TOKENHIVE_INTEROP_ISSUER=http://127.0.0.1:$port
export TOKENHIVE_INTEROP_CLIENT_ID=tokenhive-interop
export TOKENHIVE_INTEROP_CLIENT_SECRET=only-for-this-run
export TOKENHIVE_INTEROP_REDIRECT_URL=http://127.0.0.1:9/callback
export TOKENHIVE_INTEROP_SCOPES='openid profile email groups'
export TOKENHIVE_INTEROP_USER=ada
export TOKENHIVE_INTEROP_PASSWORD=analytical-engine-1843
export TOKENHIVE_INTEROP_LIFETIME=${TOKENHIVE_INTEROP_LIFETIME:-12}
export TOKENHIVE_INTEROP_BROWSER=$here/browser.py
export PYTHONDONTWRITEBYTECODE=1

# SERVER_NAME makes the issuer an address without a trailing slash. The client's own address is
# outside TRUSTED_DOMAINS, so that the consent page is shown.
export CANAILLE_CONFIG=$scratch/canaille.toml
export CANAILLE_ENV=$scratch/none.env
key=$(canaille jwk create rsa --format toml 2>/dev/null)
cat >"$CANAILLE_CONFIG" <<TOML
SECRET_KEY = "only-for-this-run"
SERVER_NAME = "127.0.0.1:$port"
PREFERRED_URL_SCHEME = "http"

[OAUTH2_TOKEN_EXPIRES_IN]
authorization_code = $TOKENHIVE_INTEROP_LIFETIME
refresh_token = $TOKENHIVE_INTEROP_LIFETIME

[CANAILLE_SQL]
DATABASE_URI = "sqlite:///$scratch/canaille.sqlite"

[CANAILLE_OIDC]
ACTIVE_JWKS = [$key]
TOML

echo 'interop: creating a user, a group and a client'
{
    canaille install
    canaille create user --user-name "$TOKENHIVE_INTEROP_USER" \
        --password "$TOKENHIVE_INTEROP_PASSWORD" --given-name Ada --family-name Lovelace \
        --formatted-name 'Ada Lovelace' --display-name Ada --emails ada@example.com
    canaille create group --display-name mathematicians --members "$TOKENHIVE_INTEROP_USER"
    canaille create client --client-id "$TOKENHIVE_INTEROP_CLIENT_ID" \
        --client-secret "$TOKENHIVE_INTEROP_CLIENT_SECRET" --client-name 'tokenhive interop' \
        --client-uri http://client.example --redirect-uris "$TOKENHIVE_INTEROP_REDIRECT_URL" \
        --grant-types authorization_code --grant-types refresh_token --response-types code \
        --scope openid --scope profile --scope email --scope groups \
        --token-endpoint-auth-method client_secret_basic
    canaille set client "$TOKENHIVE_INTEROP_CLIENT_ID" --audience "$TOKENHIVE_INTEROP_CLIENT_ID"
} >"$scratch/setup.log" 2>&1 || {
    cat "$scratch/setup.log" >&2
    exit 1
}

canaille run --bind "127.0.0.1:$port" --workers 0 >"$scratch/server.log" 2>&1 &
server=$!
ready=false
for _ in $(seq 100); do
    if ! kill -0 "$server" 2>/dev/null; then
        break
    fi
    if python3 - "$TOKENHIVE_INTEROP_ISSUER" 2>/dev/null <<'PYTHON'; then
import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/.well-known/openid-configuration", timeout=2)
PYTHON
        ready=true
        break
    fi
    sleep 0.2
done
if ! $ready; then
    echo 'interop: Canaille did not start:' >&2
    cat "$scratch/server.log" >&2
    exit 1
fi
echo "interop: $(canaille --version 2>/dev/null | tail -n 1) at $TOKENHIVE_INTEROP_ISSUER"

python3 "$here/probe.py"
if [[ ${1:-} == --probe ]]; then
    exit 0
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenhive/target}
cargo test --all-features --locked --test interop -- --ignored --nocapture
