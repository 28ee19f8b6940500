"""Which URLs a webhook may have."""

from ipaddress import ip_address
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.console.webhook_url import LONGEST, UrlRules, WebhookUrl, read_url

STRICT = UrlRules()
LAX = UrlRules(allow_http=True, ports={443, 8080})

GOOD = {
    "https://app.example/hook": ("app.example", 443, "/hook", "app.example"),
    "https://app.example": ("app.example", 443, "/", "app.example"),
    "https://app.example?a=b": ("app.example", 443, "/?a=b", "app.example"),
    "HTTPS://App.Example:8443/a%20b?c=d&e=/f?": (
        "app.example",
        8443,
        "/a%20b?c=d&e=/f?",
        "app.example:8443",
    ),
    "https://app.example:443/": ("app.example", 443, "/", "app.example"),
    "https://xn--bcher-kva.example/": ("xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
    "https://localhost/": ("localhost", 443, "/", "localhost"),  # its addresses are judged
    "https://1.app/": ("1.app", 443, "/", "1.app"),
    "https://app.example/user@host": ("app.example", 443, "/user@host", "app.example"),
    "https://192.0.2.1/": (ip_address("192.0.2.1"), 443, "/", "192.0.2.1"),
    "https://[2001:DB8::1]:8443/": (ip_address("2001:db8::1"), 8443, "/", "[2001:db8::1]:8443"),
}
BAD = {
    "": "no URL",
    "app.example/hook": "no URL",
    "https:/app.example": "no URL",
    "https://": "no URL",
    "https:///hook": "no URL",
    "https://app.example:/": "no URL",
    "https://app.example:999999/": "no URL",
    "https://app%2eexample/": "no URL",
    "http://app.example/": "https://",
    "ftp://app.example/": "https://",
    "file:///etc/passwd": "no URL",
    "javascript://app.example/%0aalert(1)": "https://",
    "https://app.example:22/": "port 22",
    "https://app.example:80/": "port 80",
    "https://app.example:0/": "port 0",
    "https://user@app.example/": "user",
    "https://user:pw@app.example/": "user",
    "https://app.example@10.0.0.1/": "user",
    "https://@app.example/": "user",
    "https://app.example/#x": "fragment",
    "https://app.example/a b": "characters",
    "https://app.example\\@10.0.0.1/": "characters",
    "https://app.example/\r\nHost: x": "characters",
    "https://app.example/\t": "characters",
    "https://app.example/\x7f": "characters",
    "https://bücher.example/": "characters",
    "https://app。example/": "characters",
    "https://app.example/" + "a" * LONGEST: "2000",
    "https://127.1/": "usual form",
    "https://2130706433/": "usual form",
    "https://0x7f000001/": "usual form",
    "https://0x7f.0.0.0x1/": "usual form",
    "https://0177.0.0.1/": "usual form",
    "https://127.0.0.1./": "usual form",
    "https://256.0.0.1/": "usual form",
    "https://app.0/": "usual form",
    "https://[::1/": "no URL",
    "https://[fe80::1%25eth0]/": "no URL",
    "https://[::ffff:1.2.3]/": "usual form",
    "https://-app.example/": "host name",
    "https://app..example/": "host name",
    "https://app.example./": "host name",
    "https://" + "a" * 64 + ".example/": "host name",
    "https://" + "a." * 127 + "example/": "host name",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_plainly_a_url_is_read(text: str) -> None:
    url = read_url(text, STRICT)
    assert (url.host, url.port, url.target, url.authority) == GOOD[text]
    assert url.is_https


@pytest.mark.parametrize("text", BAD)
def test_everything_else_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(ValueError, match=BAD[text]):
        read_url(text, STRICT)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("http://app.example/", 80),
        ("http://app.example:8080/", 8080),
        ("https://a.test:8080/", 8080),
    ],
)
def test_the_settings_allow_more(text: str, port: int) -> None:
    assert read_url(text, LAX).port == port


@pytest.mark.parametrize("text", ["http://app.example:81/", "https://a.test:8443/", "gopher://a/"])
def test_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|https"):
        read_url(text, LAX)


@given(st.text(st.sampled_from(printable), max_size=40) | st.text(max_size=40))
def test_nothing_gets_out_of_its_part(rest: str) -> None:
    """Whatever a URL has in it, the host is one name or address, and the target one line."""
    try:
        url: WebhookUrl = read_url(f"https://{rest}", STRICT)
    except ValueError:
        return
    assert not set(str(url.host)) & set("/@?#\\ %")
    assert url.target.startswith("/")
    assert url.target.isprintable()
    assert " " not in url.target
