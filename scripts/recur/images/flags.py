"""Remarks on an image or a mask: words for people, and a kind by which the page of the images ranks them."""

from __future__ import annotations

from collections.abc import Iterable

KINDS = (  # what each means and how much it weighs: recur.report.qc_page
    "adapted",
    "apart",
    "axes",
    "contours",
    "copied",
    "edge",
    "exam",
    "inverted",
    "left_out",
    "lossy",
    "moved",
    "not_hu",
    "odd",
    "outside",
    "pieces",
    "redraw",
    "review",
    "rim",
    "series",
    "short",
    "size",
    "thick",
)
OTHER = "other"


class Flag(str):
    """The words of a remark, which also know its kind; a plain str is a remark of the kind `other`."""

    kind: str = OTHER


def flag(kind: str, text: str) -> Flag:
    """A remark of a kind: of KINDS, or `other`."""
    made = Flag(text)
    made.kind = (*KINDS, OTHER)[(*KINDS, OTHER).index(kind)]
    return made


def kind_of(remark: str) -> str:
    return getattr(remark, "kind", OTHER)


def joined(remarks: Iterable[str]) -> dict[str, str]:
    """The columns flags and flag_kinds of a case: as many kinds as remarks, in their order."""
    remarks = list(remarks)
    texts = [remark.replace(";", ",") for remark in remarks]
    return {"flags": ";".join(texts), "flag_kinds": ";".join(kind_of(remark) for remark in remarks)}


def added(record: dict, remark: str) -> None:
    """Add a remark to the columns of a case."""
    for column, text in joined([remark]).items():
        record[column] = ";".join(filter(None, [record.get(column), text]))
