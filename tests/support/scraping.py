"""Reading Prometheus' text format as strictly as Prometheus does, and HTTP to get it."""

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

_TYPES = {"counter", "gauge", "histogram"}
_LINE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (-?[0-9.e+-]+|\+Inf|NaN)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one scrape gave."""

    types: Mapping[str, str]
    series: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series of that name that have these labels; 0 without any."""
        return sum(self.by_labels(name, **labels).values())

    def by_labels(self, name: str, **labels: str) -> dict[Labels, float]:
        return {
            found: value
            for (own, found), value in self.series.items()
            if own == name and labels.items() <= dict(found).items()
        }

    def names(self) -> set[str]:
        return {name for name, _ in self.series}

    def label_names(self, name: str) -> set[str]:
        return {label for own, labels in self.series for label, _ in labels if own == name}


def read_page(text: str) -> Page:
    """Read an answer; whatever Prometheus would refuse fails."""
    types: dict[str, str] = {}
    series: dict[tuple[str, Labels], float] = {}
    helped: set[str] = set()
    assert text.endswith("\n")
    current = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in helped, "one block for each family"
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            assert kind in _TYPES
            types[name] = kind
        else:
            found = _LINE.fullmatch(line)
            assert found, line
            labels = tuple(sorted(_LABEL.findall(found[2] or "")))
            assert len(_LABEL.sub("", found[2] or "")) == 0, line
            assert found[1].removeprefix(current) in {"", "_bucket", "_sum", "_count"}, line
            assert (found[1], labels) not in series, f"twice: {line}"
            series[found[1], labels] = float(found[3])
    return Page(types=types, series=series)


def get(port: int, path: str) -> tuple[int, str]:
    """Ask for a page; status and text."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scrape(port: int) -> Page:
    status, text = get(port, "/metrics")
    assert status == 200
    return read_page(text)
