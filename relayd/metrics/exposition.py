"""Samples as Prometheus reads them: the text format, version 0.0.4.

Own code, for it is shorter than the collector that prometheus_client would want, and needs no package.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from relayd.metrics.families import Sample

OF_QUEUE = "queue"  # the label of what every machine tells of the queue that it shares
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(samples: Iterable[Sample]) -> bytes:
    """Write samples, those of one family in a row."""
    text = "\n".join(_lines(samples)) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _lines(samples: Iterable[Sample]) -> Iterator[str]:
    for family, own in groupby(samples, key=lambda sample: sample.family):
        yield f"# HELP {family.name} {family.help}"
        yield f"# TYPE {family.name} {family.kind}"
        for sample in own:
            yield f"{family.name}{sample.suffix}{_labels(sample)} {sample.value}"


def _labels(sample: Sample) -> str:
    pairs = [*zip(sample.family.labels, sample.labels, strict=True)]
    if sample.queue:
        pairs.append((OF_QUEUE, sample.queue))
    if sample.bound:
        pairs.append(("le", sample.bound))
    written = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{written}}}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
