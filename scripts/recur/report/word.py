"""A manuscript table as a Word document."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from docx import Document
from docx.enum.section import WD_ORIENT
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt

from recur.report.manuscript import Table

ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file knows: same table, same bytes


def as_docx(table: Table) -> bytes:
    """A Word document: rules above, below and under the head, as journals set tables. Same table, same bytes."""
    document = Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width = Mm(297)
    section.page_height = Mm(210)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Mm(18)
    style = document.styles["Normal"]
    style.font.name = "Arial"
    style.font.size = Pt(8)
    style.paragraph_format.space_after = Pt(2)
    document.core_properties.title = table.title
    document.core_properties.author = ""
    run = document.add_paragraph().add_run(table.title)
    run.bold = True
    run.font.size = Pt(10)
    grid = document.add_table(rows=0, cols=len(table.heads))
    for place, cells in enumerate([table.heads, *table.rows]):
        row = grid.add_row()
        properties = row._tr.get_or_add_trPr()
        properties.append(OxmlElement("w:cantSplit"))
        if place == 0:
            properties.append(OxmlElement("w:tblHeader"))
        if len(cells) == 1 and len(table.heads) > 1:
            row.cells[0].merge(row.cells[-1])
        for box, text in zip(row.cells, cells, strict=False):
            fill(box, text, bold=place == 0 or len(cells) == 1)
        edges = {"top": place == 0, "bottom": place in (0, len(table.rows))}
        for box in row.cells:
            rule(box, [side for side, drawn in edges.items() if drawn])
    widths = column_widths(table, 297 - 36)
    grid.autofit = False
    for column, width in zip(grid.columns, widths, strict=True):
        column.width = Mm(width)  # LibreOffice reads this one, Word that of the cells
        for box in column.cells:
            box.width = Mm(width)
    document.add_paragraph()
    for text in table.notes:
        document.add_paragraph().add_run(text).font.size = Pt(7)
    return with_fixed_dates(document)


def fill(box: Any, text: str, bold: bool) -> None:
    paragraph = box.paragraphs[0]
    paragraph.paragraph_format.space_after = Pt(0)
    if text.startswith("   "):
        paragraph.paragraph_format.left_indent = Mm(3)
    paragraph.add_run(xml_text(text.strip())).bold = bold


def xml_text(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "", text)


def rule(box: Any, sides: list[str]) -> None:
    """Draw lines at the sides of a cell."""
    borders = OxmlElement("w:tcBorders")
    for side in sides:
        edge = OxmlElement(f"w:{side}")
        for key, value in (("val", "single"), ("sz", "6"), ("color", "000000")):
            edge.set(qn(f"w:{key}"), value)
        borders.append(edge)
    box._tc.get_or_add_tcPr().append(borders)


def column_widths(table: Table, whole: float) -> list[float]:
    """Widths in mm: by the longest cell of each column, none below a share that holds a number."""
    full = [row for row in [table.heads, *table.rows] if len(row) == len(table.heads)]
    longest = [min(max(max(map(len, column)), 7), 34) for column in zip(*full, strict=True)]
    return [whole * n / sum(longest) for n in longest]


def with_fixed_dates(document: Any) -> bytes:
    """The document as bytes, its zip entries without the time of day."""
    raw = io.BytesIO()
    fixed = io.BytesIO()
    document.save(raw)
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, ZIP_DATE), old.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
