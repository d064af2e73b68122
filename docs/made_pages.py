"""Pages of the site that are made from other files of the project when mkdocs builds it (a hook of mkdocs.yml).

`settings.md` is made from the schema of the study file and the presets; the data dictionary and the page for
contributors are files that live elsewhere, shown as they are.
"""

from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
COPIED = {"dictionary.md": "results/README.md", "contributing.md": "CONTRIBUTING.md"}
SETTINGS_HEAD = """# Every key of the study file

Made from `schemas/study.schema.yaml`, which the workflow reads: what is not here is refused. A key of a section is
written with dots; `<name>` stands for a name that the study gives, `[]` for each entry of a list. Copy
`studies/template.yaml` to begin with.
"""
KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "array": "list",
    "object": "section",
    "null": "null",
}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
ANALYSIS_HEAD = """
What an analysis does not set it takes from its preset, `presets/recommended.yaml` or `presets/ji2020.yaml`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those of docs/."""
    files.append(File.generated(config, "settings.md", content=settings_page()))
    for page, source in COPIED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def settings_page() -> str:
    """The page of every key: a section for each key at the top of a study file, a row for each key below it."""
    schema = yaml.safe_load((ROOT / "schemas/study.schema.yaml").read_text())
    sections = {key: value for key, value in schema["properties"].items() if below(value, schema)}
    single = [row for row in keys_below(schema, schema) if row[0] in set(schema["properties"]) - set(sections)]
    page = [SETTINGS_HEAD, "## The study as a whole\n", table(single)]
    for key, value in sections.items():
        page.append(f"## `{key}`\n")
        if "description" in value:
            page.append(prose(value["description"]) + "\n")
        rows = keys_below(value, schema)
        if key == "reporting":
            asked = asked_for()
            rows = [(name, {"description": "; ".join(asked.get(name, [])), **part}) for name, part in rows]
        if key == "analyses":
            page += [ANALYSIS_HEAD, table_with_presets(rows)]
        else:
            page.append(table(rows))
    return "\n".join(page)


def asked_for() -> dict[str, list[str]]:
    """The items of the checklists that ask for a statement of the study file, by its key, a text for each sheet."""
    asked: dict[str, list[str]] = {}
    for path in sorted(ROOT.glob("checklists/*.yaml")):
        sheet = yaml.safe_load(path.read_text())
        of_sheet: dict[str, list[str]] = {}
        for item in sheet["items"]:
            of_sheet.setdefault(item.get("ask", ""), []).append(f"{item['item']} {item['text']}")
        for key, items in of_sheet.items():
            asked.setdefault(key, []).append(f"{sheet['title']}: {', '.join(items)}")
    return asked


def resolved(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema with its reference to another part followed; what stands beside a reference wins."""
    if "$ref" not in value:
        return value
    target = schema
    for step in value["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{key: own for key, own in value.items() if key != "$ref"}}


def below(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a key holds, by how it is written behind the key; empty for a single value."""
    value = resolved(value, schema)
    of_any_name = value.get("additionalProperties")
    if isinstance(of_any_name, dict):
        return {".<name>": of_any_name}
    sign = "."
    if "items" in value:
        sign = "[]."
        value = resolved(value["items"], schema)
    required = value.get("required", [])
    return {sign + key: {**part, "must": key in required} for key, part in value.get("properties", {}).items()}


def keys_below(value: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """(dotted key, its part of the schema) of every key below one, in the order of the schema."""
    rows = []
    for name, part in below(value, schema).items():
        key = (prefix + name).removeprefix(".")
        part = resolved(part, schema)
        deeper = keys_below(part, schema, key)
        if not deeper or "description" in part:
            rows.append((key, part))
        rows += deeper
    return rows


def prose(text: str) -> str:
    """A description on one line, safe in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(value: object) -> str:
    """A value as it is written in a study file."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return "`" + text.removesuffix("\n").removesuffix("\n...").replace("|", "\\|") + "`"


def values(part: dict[str, Any]) -> str:
    """What a key takes: its words, or the kind of its value with its limits."""
    if "enum" in part:
        return ", ".join(code(value) for value in part["enum"])
    kinds = part.get("type", "object")
    if isinstance(kinds, str):
        kinds = [kinds]
    said = " or ".join(KINDS[kind] for kind in kinds)
    if "array" in kinds and "items" in part:
        said = said.replace(KINDS["array"], "list: " + values(part["items"]))
    limits = [f"{words} {part[key]}" for key, words in LIMITS.items() if key in part]
    return ", ".join([said, *limits])


def table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Markdown of the rows: key, what it takes, its default, what it means."""
    lines = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for key, part in rows:
        lines.append(f"| `{key}` | {values(part)} | {default_of(part)} | {prose(part.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def default_of(part: dict[str, Any]) -> str:
    """What holds where a key is left out; `required` where it cannot be."""
    if part.get("must"):
        return "required"
    return code(part["default"]) if "default" in part else ""


def table_with_presets(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """Markdown of the rows of an analysis, with what each preset sets."""
    presets = [yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text()) for name in ("recommended", "ji2020")]
    lines = ["| key | takes | recommended | ji2020 | meaning |", "| --- | --- | --- | --- | --- |"]
    for key, part in rows:
        cells = [set_by(preset, key.removeprefix("<name>.").split(".")) for preset in presets]
        if not any(cells):
            cells = [default_of(part)] * 2
        lines.append(f"| `{key}` | {values(part)} | {' | '.join(cells)} | {prose(part.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def set_by(preset: dict[str, Any], path: list[str]) -> str:
    """What a preset sets at a path, as code; empty where it sets nothing, or a whole section."""
    value: Any = preset
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return ""
        value = value[step]
    return "" if isinstance(value, dict) else code(value)
