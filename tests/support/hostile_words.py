"""Words that a stranger writes to be more than words: to a terminal, a log, a report, a spreadsheet, a page, a query.

`SCRIPT` is a smarthost that says them. What reaches a person may have none of `ACTS` in it, whatever it went through.
"""

import re

from relayd.mail.text import is_shown
from tests.support.scripted_server import Raw, Script

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"  # a title, an empty screen, a colour in one octet
BIDI = "\u202egpj.exe\u2066\u200f"  # is read from the right
FORGED = (
    '\r\n{"event":"forged"}\r\nforged: yes\u2028forged\x85forged'  # lines of a log, of a header
)
LABEL = '"} 1\nforged_total{a="'  # a metric of its own
FORMULA = '=HYPERLINK("http://evil.test")'
MARKUP = "<script>forged()</script>"
WORDS = f"{FORMULA}{ESCAPE}{BIDI}{FORGED}{LABEL}{MARKUP}%s{{0}}\x00\x7f"

REFUSED, DEFERRED = "refused@hostile.test", "deferred@hostile.test"
SCRIPT: Script = {
    f"RCPT TO:<{REFUSED}>": Raw(
        b"550-5.1.1 %b\r\n550 5.1.1 no\r\n" % WORDS.encode().replace(b"\n", b"").replace(b"\r", b"")
    ),
    f"RCPT TO:<{DEFERRED}>": Raw(
        b"450 4.2.1 %b\r\n" % WORDS.encode().replace(b"\n", b"").replace(b"\r", b"")
    ),
}

_FORGED_LINE = re.compile(r"(?m)^(\{\"event\":\"forged|forged)")


def what_acts(text: str) -> str:
    """Return what in a text for people is more than text; empty: nothing."""
    hidden = sorted({char for char in text if char not in "\n\t" and not is_shown(char)})
    return f"{hidden}" if hidden else "".join(_FORGED_LINE.findall(text)[:1])
