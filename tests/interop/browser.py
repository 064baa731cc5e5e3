#!/usr/bin/env python3
"""Stands in for a person at a browser who logs in at Canaille and consents.

usage: browser.py AUTHORIZATION_URL       (TOKENHIVE_INTEROP_USER and _PASSWORD in the environment)

Follows the pages of one login (name, password, consent) and prints the callback address it is
finally sent to, without opening it. Standard library only.
"""

import html
import http.cookiejar
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

MOST_PAGES = 12


class StayHere(urllib.request.HTTPRedirectHandler):
    """Redirects are read, not followed: the last one leads to an address nobody listens on."""

    def redirect_request(self, *_):
        return None


def open_page(browser, url, form=None):
    """One request: (status, where it redirects to or None, body)."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        answer = browser.open(urllib.request.Request(url, data), timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        target = answer.headers.get("Location")
        body = answer.read().decode("utf-8", "replace")
        return answer.status, target and urllib.parse.urljoin(url, target), body


def filled_in(page):
    """The form of a page with the user's entries, or None where there is none to fill in."""
    token = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page)
    form = {"csrf_token": html.unescape(token.group(1))} if token else {}
    if 'name="login"' in page:
        return {**form, "login": os.environ["TOKENHIVE_INTEROP_USER"]}
    if 'name="password"' in page:
        return {**form, "password": os.environ["TOKENHIVE_INTEROP_PASSWORD"]}
    if 'value="accept"' in page:
        return {**form, "answer": "accept"}
    return None


def log_in(authorization_url):
    """Goes from the authorization address to the callback address."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(authorization_url).query)
    callback = query["redirect_uri"][0]
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies, StayHere)
    url = authorization_url
    for _ in range(MOST_PAGES):
        status, target, page = open_page(browser, url)
        if target is None:
            form = filled_in(page)
            if form is None:
                raise SystemExit(f"browser.py: no form on {url.split('?')[0]} (HTTP {status})")
            status, target, page = open_page(browser, url, form)
        if target is None:
            raise SystemExit(f"browser.py: {url.split('?')[0]} refused the form (HTTP {status})")
        if target.split("?")[0] == callback:
            return target
        url = target
    raise SystemExit(f"browser.py: not back at {callback} after {MOST_PAGES} pages")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(log_in(sys.argv[1]))
