#!/usr/bin/env python3
"""Checks what tests/interop.rs relies on, without tokenhive: how Canaille answers a careful client.

When the interop test fails and this passes, the fault is ours. When this fails, Canaille changed.
"""

import base64
import hashlib
import json
import os
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request

import browser

ISSUER = os.environ["TOKENHIVE_INTEROP_ISSUER"]
CLIENT_ID = os.environ["TOKENHIVE_INTEROP_CLIENT_ID"]
CLIENT_SECRET = os.environ["TOKENHIVE_INTEROP_CLIENT_SECRET"]
REDIRECT_URL = os.environ["TOKENHIVE_INTEROP_REDIRECT_URL"]
LIFETIME = int(os.environ["TOKENHIVE_INTEROP_LIFETIME"])


def call(url, form=None, **headers):
    """One request: (status, JSON answer)."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, json.loads(answer.read())


def token_request(**form):
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    return call(METADATA["token_endpoint"], form, Authorization=f"Basic {basic}")


def userinfo(token):
    return call(METADATA["userinfo_endpoint"], Authorization=f"Bearer {token['access_token']}")


def expect(what, holds, saw):
    print(f"{'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        raise SystemExit(f"probe.py: {what}: saw {saw}")


def refreshed(token):
    # Its access tokens are signed texts that differ by the second they were issued in, and must
    # differ: two in one second are a 500, and the refresh token stays good.
    time.sleep(1.1)
    return token_request(grant_type="refresh_token", refresh_token=token["refresh_token"])


_, METADATA = call(f"{ISSUER}/.well-known/openid-configuration")
expect("discovery names the issuer it was asked at", METADATA["issuer"] == ISSUER, METADATA)

verifier, state, nonce = (secrets.token_urlsafe(48) for _ in range(3))
challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
query = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": REDIRECT_URL,
    "scope": "openid profile email groups",
    "state": state,
    "nonce": nonce,
    "code_challenge": challenge.decode(),
    "code_challenge_method": "S256",
}
callback = browser.log_in(f"{METADATA['authorization_endpoint']}?{urllib.parse.urlencode(query)}")
back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(callback).query))
expect("the callback carries state and iss", (back["state"], back["iss"]) == (state, ISSUER), set(back))

exchange = {
    "grant_type": "authorization_code",
    "code": back["code"],
    "redirect_uri": REDIRECT_URL,
    "code_verifier": verifier,
}
status, first = token_request(**exchange)
members = {"access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"}
expect("the code is exchanged", (status, set(first)) == (200, members), (status, set(first)))
expect("the lifetime is the configured one", first["expires_in"] == LIFETIME, first["expires_in"])
status, user = userinfo(first)
expect("userinfo names the user and groups", user.get("groups") == ["mathematicians"], (status, set(user)))
status, answer = token_request(**exchange)
expect("a code works once", (status, answer["error"]) == (400, "invalid_grant"), status)

status, second = refreshed(first)
expect("a refresh rotates the refresh token", status == 200 and second["refresh_token"] != first["refresh_token"], status)
expect("a refresh brings no id token", "id_token" not in second, set(second))
status, _ = userinfo(first)
expect("rotation kills the old access token at once", status == 401, status)
status, answer = refreshed(first)
expect("a spent refresh token is refused", (status, answer) == (400, {"error": "invalid_grant"}), status)
status, third = refreshed(second)
expect("and its successor lives on: reuse class S", status == 200, status)

time.sleep(LIFETIME + 1)
status, _ = userinfo(third)
expect("the access token expires", status == 401, status)
status, answer = refreshed(third)
expect("the refresh token expires with it", (status, answer.get("error")) == (400, "invalid_grant"), status)
