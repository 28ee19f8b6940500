"""The words of a reply, and phrases that find them.

Owns both sides of one small language, so that they cannot drift apart: `words_of` reduces whatever
a server wrote to lower-case words, `parse_phrase` turns what a rule author wrote into a search over
such words. What the words mean is said by the rules and judged by `relayd.policy.replies.classify`.

Reduced text holds no numbers, punctuation, addresses or URLs: reply codes repeated in a multi-line
reply, line folding and the local part `mailboxfull@` cannot mislead a rule.

Phrase syntax: plain words; `(a|b c)` one of; `{set}` one of a named set; `?` after either makes it
optional; `word*` any ending; `...` up to 40 characters of other words. Little words such as "the"
and "has been" do not count on either side. There is no repetition, so the search time is bounded
by the text's length times a constant.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

TEXT_LIMIT = 4096  # characters looked at; what a reply says, it says early
KEY_LENGTH = 5  # letters of a word that the index of phrases uses
_GAP = ".{0,40}?"
_MOST_GAPS = 2
_LITTLE = frozenset(
    {
        *("a", "an", "the", "this", "that", "these", "those", "is", "are", "was", "were", "be"),
        *("been", "being", "has", "have", "had", "very", "already", "currently", "please", "sorry"),
        *("s", "l", "d", "qu", "dell", "all", "un"),  # what an apostrophe leaves behind
    }
)

_URL = re.compile(r"(?i)\b(?:https?://|www\.)([^\s/<>\"'()?:]{1,255})([^\s<>\"']{0,1000})")
_LINK_TAG = re.compile(r"[?&](p=\w{1,40})")
_ADDRESS = re.compile(
    r"(?:\"[^\"\s]{0,512}\"|(?<![^\s<>()\[\]\"':;,])[^\s<>()\[\]\"':;,@]{1,512}+)@[^\s<>()\"',;:]{1,255}"
)
# Host names hold misleading words. Exchange writes tags of this form with capitals.
_HOST = re.compile(r"\b[a-z0-9-]{1,63}+(?:\.[a-z0-9-]{1,63}+){0,8}\.[a-z]{2,24}\b")
_DOT_LETTERS = re.compile(r"\.[a-z]{2}")  # most replies hold no host, and this is found out fast
# Pointers to a manual name its chapter, not what happened.
_POINTER = re.compile(
    r"\b(?:for more (?:information|details)|(?:to )?learn more|to review our)\b[^.]{0,200}"
)
# "l'adresse", "n'existe", "dell'utente" are two words, unlike "doesn't".
_ELISION = re.compile(r"['\u2019](?<=[ldnu]['\u2019])(?=[aeiouyhâéèêîôœ])")
# A tag of letters and a number, such as XGEMAIL_0011, is one word.
_TAG = re.compile(r"\b([A-Z]{2,20})_(?=[0-9]{2,6}\b)")
# A word starts with a letter; an ideograph or kana is a word of its own, for want of blanks.
_WORD = re.compile(r"[^\W\d_\u2e80-\uffff][^\W_\u2e80-\uffff]*|[^\W\d_]")
_ASCII_WORD = re.compile(r"[a-z][a-z0-9]*")  # the same of small letters, in half the time
_ITEM = re.compile(
    r"\s*(?:\(([^()]*)\)(\??)|\{(\w+)\}(\??)|(\.\.\.)|([^\s(){}|.?]+))(?=[\s({]|\.\.\.|$)"
)
WordSets = Mapping[str, Sequence[str]]


class PhraseError(ValueError):
    """A phrase does not follow the syntax."""


@dataclass(frozen=True, slots=True)
class Words:
    """The reduced text: words between single blanks, and where its links point."""

    text: str  # one blank before and after every word
    keys: frozenset[str] = field(compare=False)  # the first letters of each word
    links: frozenset[str]  # hosts that are named, with the domains above them; "p=tag" of a link


@dataclass(frozen=True, slots=True)
class Phrase:
    """A search over `Words.text`: for a plain string where there is no choice, else for a pattern.

    A pattern is compiled when it is first searched for: few of some thousand ever are.
    """

    search: str
    is_plain: bool
    needs: tuple[frozenset[str], ...]  # of each set at least one key must be in `Words.keys`

    def found_in(self, words: Words) -> bool:
        keys = words.keys
        for need in self.needs:
            if need.isdisjoint(keys):
                return False
        if self.is_plain:
            return self.search in words.text
        return bool(_compiled(self.search).search(words.text))

    def seen_in(self, words: Words) -> str:
        """Return the words that it finds; empty if it finds none."""
        if not self.found_in(words):
            return ""
        found = None if self.is_plain else _compiled(self.search).search(words.text)
        return (self.search if found is None else found[0]).strip()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def words_of(text: str) -> Words:
    """Reduce a reply to its words. Takes any text."""
    text = text[:TEXT_LIMIT]
    links: set[str] = set()
    if "://" in text or "www." in text:
        for host, rest in _URL.findall(text.lower()):
            links.update(_link_names(host, rest))
        text = _URL.sub(" ", text)
    if "@" in text:
        text = _ADDRESS.sub(" ", text)
    if _DOT_LETTERS.search(text) and (hosts := _HOST.findall(text)):
        for host in hosts:
            links.update(_link_names(host, ""))
        text = _HOST.sub(" ", text)
    if "_" in text:
        text = _TAG.sub(r"\1", text)
    text = text.lower().replace("e-mail", "email")
    if "more " in text or "to review" in text:
        text = _POINTER.sub(" ", text)
    words = _split(text)
    keys = frozenset([word[:KEY_LENGTH] for word in words])
    return Words(f" {' '.join(words)} ", keys, frozenset(links))


def _split(text: str) -> list[str]:
    if "'" in text or "\u2019" in text:
        text = _ELISION.sub(" ", text).replace("'", "").replace("\u2019", "")
    words = (_ASCII_WORD if text.isascii() else _WORD).findall(text)
    return [word for word in words if word not in _LITTLE]


def _link_names(host: str, rest: str) -> list[str]:
    labels = host.rstrip(".").split(".")[-6:]
    names = [".".join(labels[start:]) for start in range(len(labels))]
    return names + _LINK_TAG.findall(rest)


def parse_phrase(written: str, sets: WordSets) -> Phrase:
    """Compile one phrase; raises `PhraseError` saying what is wrong with it."""
    left = written.lower().rstrip()
    parts: list[str] = []
    needs: list[frozenset[str]] = []
    while left:
        item = _ITEM.match(left)
        if item is None:
            raise PhraseError("words, (a|b), {set}, ? after these, word* and ... only")
        left = left[item.end() :]
        pattern, keys = _part(item, sets)
        parts.append(pattern)
        if keys:
            needs.append(keys)
    if not needs or parts[0] == _GAP or parts[-1] == _GAP or parts.count(_GAP) > _MOST_GAPS:
        raise PhraseError(f"a word that must occur, and at most {_MOST_GAPS} gaps between words")
    pattern = "".join(parts) + " "
    return Phrase(pattern, not set(pattern) & set("(.\\"), tuple(needs))


def _part(item: re.Match[str], sets: WordSets) -> tuple[str, frozenset[str]]:
    """The pattern of one item of a phrase, and the keys one of which it needs, if any."""
    group, optional, name, optional_set, gap, word = item.groups()
    if gap:
        return _GAP, frozenset()
    if word:
        return _choice(word)
    if name and name not in sets:
        raise PhraseError(f"no set of words: {name!r}")
    written = sets[name] if name else group.split("|")
    choices = [choice for choice in map(_choice, written) if choice[0]]
    if not choices:
        raise PhraseError(f"no word that counts: {item.group()!r}")
    optional = optional or optional_set or ""
    pattern = "|".join(sorted({pattern for pattern, _ in choices}))
    keys = [keys for _, keys in choices]
    needed = not optional and all(keys)
    return f"(?:{pattern}){optional}", frozenset().union(*keys) if needed else frozenset()


@cache  # the words of a set, for each phrase that uses it
def _choice(written: str) -> tuple[str, frozenset[str]]:
    """Plain words and stems: their pattern, and the key of the longest of them.

    Both are empty where only little words are written.
    """
    pattern, key = "", ""
    for chunk in written.lower().split():
        stem = chunk.endswith("*")
        plain = chunk.removesuffix("*").replace("'", "")
        words = _WORD.findall(plain)
        if not words or "".join(words) != plain:
            raise PhraseError(f"no word: {chunk!r}")
        words = [word for word in words if word not in _LITTLE]
        pattern += "".join(f" {word}" for word in words) + (r"\w{0,15}" if stem and words else "")
        if words and (not stem or len(plain) >= KEY_LENGTH):
            key = max(key, *(word[:KEY_LENGTH] for word in words), key=len)
    return pattern, frozenset({key}) if key else frozenset()
