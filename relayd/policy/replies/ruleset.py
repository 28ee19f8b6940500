"""A set of rules, compiled: finds the one that decides.

Owns the order of the rules and the index that picks the few worth trying for a reply. What a rule's
answer means for the recipient is `relayd.policy.replies.classify`'s; reading an operator's files is the
caller's.

Invariant: the first rule in order that matches decides; the index only skips rules that cannot.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from relayd.errors import ConfigError, Mistake
from relayd.mail.text import replaced
from relayd.mail.words import Category
from relayd.policy.replies.phrases import Phrase
from relayd.policy.replies.rule import Facts, Rule
from relayd.policy.replies.rulefile import Reader

Document = tuple[str, Mapping[str, object]]  # file name, parsed TOML
RuleTexts = tuple[tuple[str, str], ...]  # file name, TOML text


@dataclass(frozen=True, slots=True)
class _Entry:
    rule: Rule
    phrase: Phrase | None
    has_more: bool  # the rule has conditions beside its words; most have none


@dataclass(frozen=True, slots=True, eq=False)
class RuleList:
    """Compiled rules in order. `find` is all that a reader needs."""

    entries: tuple[_Entry, ...]
    index: Mapping[str, tuple[int, ...]]

    # A provider that refuses us says so to thousands of recipients in the same words, once the
    # addresses are taken out.
    @lru_cache(maxsize=1024)  # noqa: B019 rule sets live as long as the process
    def find(self, facts: Facts) -> Rule | None:
        """The first rule that matches, or None."""
        index, words = self.index, facts.words
        known = words.keys & index.keys()  # most words are in no rule
        hits: set[int] = set()
        for key in (*known, *words.links, *facts.statuses, *facts.codes, ""):
            hits.update(index.get(key, ()))
        for number in sorted(hits):
            entry = self.entries[number]
            rule, phrase = entry.rule, entry.phrase
            if entry.has_more and not rule.may_apply(facts):
                continue
            if phrase and not phrase.found_in(words):
                continue
            if not rule.is_excluded(words):
                return rule
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All that the files say."""

    rules: RuleList
    vetoes: RuleList  # what takes the proof away from a rule that says the address is bad
    remedies: Mapping[Category, str]


def compile_rules(documents: Sequence[Document]) -> Rules:
    """Check and compile rule files; earlier ones win. Raises `ConfigError` with every mistake."""
    reader = Reader()
    for file, document in documents:
        reader.read_words(file, document)
    for file, document in documents:
        reader.read(file, document)
    if reader.mistakes:
        raise ConfigError(tuple(reader.mistakes))
    return Rules(_compiled(reader.rules), _compiled(reader.vetoes), reader.remedies)


def _compiled(rules: Sequence[Rule]) -> RuleList:
    entries = [
        _Entry(rule, phrase, bool(rule.code or rule.enhanced or rule.stage or rule.link))
        for rule in rules
        for phrase in rule.text or (None,)
    ]
    return RuleList(tuple(entries), _index(entries))


@lru_cache(maxsize=2)  # those of the settings in force and of those to come
def rules_from(texts: RuleTexts) -> Rules:
    """The rules of TOML files, in order, before the built-in ones. Raises `ConfigError` as above."""
    documents: list[Document] = []
    mistakes: list[Mistake] = []
    for file, text in texts:
        try:
            documents.append((file, tomllib.loads(text)))
        except (
            ValueError,
            RecursionError,
        ) as error:  # TOMLDecodeError, and what tomllib trips over
            shown = replaced(str(error))[:200]
            expected = f"not valid TOML: {shown}"
            mistakes.append(Mistake(file=file, key="", value="", expected=expected))
    try:
        rules = load_rules(documents)
    except ConfigError as error:
        raise ConfigError((*mistakes, *error.mistakes)) from error
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return rules


def load_rules(documents: Sequence[Document]) -> Rules:
    """An operator's rule files, in order, before the built-in ones."""
    return compile_rules((*documents, *_builtin_documents())) if documents else builtin_rules()


@cache
def builtin_rules() -> Rules:
    """The rules that come with relayd."""
    return compile_rules(_builtin_documents())


@cache
def _builtin_documents() -> tuple[Document, ...]:
    folder = resources.files("relayd.policy.replies").joinpath("rules")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple((f.name, tomllib.loads(f.read_text(encoding="utf-8"))) for f in files)


def _index(entries: Sequence[_Entry]) -> dict[str, tuple[int, ...]]:
    """Under which keys to look for each entry: the rarest set of keys that its phrase needs."""
    phrases = [entry.phrase for entry in entries if entry.phrase]
    uses = Counter(key for phrase in phrases for keys in phrase.needs for key in keys)
    index: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        rule, phrase = entry.rule, entry.phrase
        keys = (
            min(phrase.needs, key=lambda keys: sum(uses[key] for key in keys))
            if phrase
            else rule.link or rule.enhanced or rule.code or {""}
        )
        for key in keys:
            index.setdefault(key, []).append(number)
    return {key: tuple(numbers) for key, numbers in index.items()}
