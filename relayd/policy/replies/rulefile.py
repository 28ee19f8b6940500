"""The TOML form of the rules, checked.

Owns the form and every complaint about it: a mistake is noted with file and key, and reading goes
on, so that an operator sees all of them at once. Reading the files themselves is the caller's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from relayd.errors import Mistake
from relayd.mail.reply import Stage
from relayd.mail.words import About, Category
from relayd.policy.replies.phrases import Phrase, PhraseError, parse_phrase
from relayd.policy.replies.rule import Rule

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_CODE = re.compile(r"[245](?:\d\d|xx)|none")
_STATUS = re.compile(r"([245x])\.([0-9]|x)\.(?:(x)|(\d{1,3})(?:-(\d{1,3}))?)")
_LINK = re.compile(r"p=\w+|[a-z0-9.-]+")
_CATEGORIES = {category.value: category for category in Category}
_ABOUT = {about.value: about for about in About}
_STAGES = {stage.value: stage for stage in Stage}
_KEYS = frozenset(Rule.__slots__)
_CONDITIONS = frozenset({"text", "link", "code", "enhanced", "stage"})


@dataclass(slots=True)
class Reader:
    """Reads documents into rules and gathers what is wrong with them."""

    rules: list[Rule] = field(default_factory=list)
    vetoes: list[Rule] = field(default_factory=list)  # of the same form
    remedies: dict[Category, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    words: dict[str, list[str]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)  # of the file being read
    file: str = ""
    at: str = ""  # the rule or table being read

    def read_words(self, file: str, document: Mapping[str, object]) -> None:
        """The named sets, which every file may use; the first definition of a name counts."""
        self.file, self.at = file, "words"
        table = document.get("words", {})
        if not isinstance(table, dict):
            self._wrong("", table, "a table of lists")
            return
        for name in table:
            self.words.setdefault(name, self._list(name, table))

    def read(self, file: str, document: Mapping[str, object]) -> None:
        self.file, self.at, self.ids = file, "", set()
        for key, value in document.items():
            match key, value:
                case "rule" | "veto", list():
                    for number, table in enumerate(value):
                        self.at = f"{key}[{number}]"
                        self._rule(table, self.rules if key == "rule" else self.vetoes)
                case "remedies", dict():
                    self.at = "remedies"
                    self._remedies(value)
                case "words", _:
                    pass
                case _:
                    self.at = ""
                    self._wrong(
                        key, value, "[[rule]], [[veto]], [remedies] and [words] tables only"
                    )

    def _wrong(self, key: str, value: object, expected: str) -> None:
        where = f"{self.at}.{key}".strip(".")
        shown = "" if value is None else repr(value)[:60]
        self.mistakes.append(Mistake(file=self.file, key=where, value=shown, expected=expected))

    def _remedies(self, table: Mapping[str, object]) -> None:
        for name, sentence in table.items():
            category = self._category(name, name)
            if not isinstance(sentence, str):
                self._wrong(name, sentence, "a sentence")
            elif category:
                self.remedies.setdefault(category, sentence)

    def _rule(self, table: object, rules: list[Rule]) -> None:
        if not isinstance(table, dict):
            self._wrong("", table, "a table")
            return
        for key in table.keys() - _KEYS:
            self._wrong(key, table[key], f"one of {', '.join(sorted(_KEYS))}")
        before = len(self.mistakes)
        category = self._category("category", table.get("category"))
        rule = Rule(
            id=self._word("id", table.get("id")),
            category=category or Category.UNKNOWN,
            text=self._phrases("text", table),
            unless=self._phrases("unless", table),
            link=frozenset(self._matching("link", table, _LINK, "a host name, or p=tag")),
            code=frozenset(self._matching("code", table, _CODE, "a reply code: 550, 5xx or none")),
            enhanced=self._statuses(table),
            stage=self._stages(table),
            permanent=self._flag("permanent", table),
            suppress=self._suppress(table),
            about=self._about(table),
            remedy=self._remedy(table),
        )
        if table.keys().isdisjoint(_CONDITIONS):
            self._wrong("", None, "a condition: text, link, code, enhanced or stage")
        if len(self.mistakes) == before:
            rules.append(rule)

    def _category(self, key: str, value: object) -> Category | None:
        if isinstance(value, str) and value in _CATEGORIES:
            return _CATEGORIES[value]
        self._wrong(key, value, "a category of docs/bounces.md")
        return None

    def _about(self, table: Mapping[str, object]) -> About | None:
        value = table.get("about")
        if value is None or (isinstance(value, str) and value in _ABOUT):
            return None if value is None else _ABOUT[value]
        self._wrong("about", value, f"one of {', '.join(_ABOUT)}")
        return None

    def _word(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            self._wrong(key, value, "a name of small letters, digits and hyphens")
            return ""
        if value in self.ids:
            self._wrong(key, value, "a name that no rule before it in this file has")
        self.ids.add(value)
        return value

    def _remedy(self, table: Mapping[str, object]) -> str:
        value = table.get("remedy", "")
        if isinstance(value, str):
            return value
        self._wrong("remedy", value, "a sentence")
        return ""

    def _flag(self, key: str, table: Mapping[str, object]) -> bool | None:
        value = table.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(key, value, "true or false")
        return None

    def _suppress(self, table: Mapping[str, object]) -> bool:
        if table.get("suppress", False) is not False:
            self._wrong("suppress", table["suppress"], "false; bad_mailbox and bad_domain do so")
        return "suppress" not in table

    def _list(self, key: str, table: Mapping[str, object]) -> list[str]:
        value = table.get(key, [])
        items = value if isinstance(value, list) else [value]
        if (key in table and not items) or not all(isinstance(item, (str, int)) for item in items):
            self._wrong(key, value, "a string or a list of strings")
            return []
        return [str(item).strip().lower() for item in items]

    def _phrases(self, key: str, table: Mapping[str, object]) -> tuple[Phrase, ...]:
        found = []
        for written in self._list(key, table):
            try:
                found.append(parse_phrase(written, self.words))
            except PhraseError as error:
                self._wrong(key, written, str(error))
        return tuple(found)

    def _matching(
        self, key: str, table: Mapping[str, object], form: re.Pattern[str], expected: str
    ) -> list[str]:
        items = self._list(key, table)
        for item in items:
            if not form.fullmatch(item):
                self._wrong(key, item, expected)
        return [item for item in items if form.fullmatch(item)]

    def _statuses(self, table: Mapping[str, object]) -> frozenset[str]:
        expected = "an enhanced code: 5.1.1, x.1.1, 5.7.x or 5.7.606-649"
        found: list[str] = []
        for written in self._matching("enhanced", table, _STATUS, expected):
            head, _, detail = written.rpartition(".")
            first, _, last = detail.partition("-")
            if not last:
                found.append(written)
            elif int(first) <= int(last):
                found += [f"{head}.{number}" for number in range(int(first), int(last) + 1)]
            else:
                self._wrong("enhanced", written, "the smaller number first")
        return frozenset(found)

    def _stages(self, table: Mapping[str, object]) -> frozenset[Stage]:
        names = self._list("stage", table)
        for name in names:
            if name not in _STAGES:
                self._wrong("stage", name, f"one of {', '.join(_STAGES)}")
        return frozenset(_STAGES[name] for name in names if name in _STAGES)
