"""The API description as one plain page: readable offline and without scripts; its small script only filters and folds."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from cardapi.http.problems import PROBLEMS

_MARKS = {"terminal": "terminal signature", "operator": "operator session"}


def render(document: dict[str, Any]) -> str:
    """The whole page."""
    schemas = document["components"]["schemas"]
    groups = "".join(_group(tag, document["paths"], schemas) for tag in document["tags"])
    problems = "".join(
        f"<tr id='problem-{escape(code)}'><td><code>{escape(code)}</code></td><td>{kind.status}</td><td>{escape(kind.title)}</td></tr>"
        for code, kind in sorted(PROBLEMS.items())
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(document["info"]["title"])} API</title>
<link rel="stylesheet" href="/docs/page.css"><script src="/docs/page.js" defer></script></head>
<body><header><h1>{escape(document["info"]["title"])} <small>API {escape(document["info"]["version"])}</small></h1>
<label>Find <input id="find" type="search" placeholder="operation, path, field, code" autocomplete="off"></label>
<p id="none" hidden>Nothing matches.</p></header>
<main><section class="about">{_prose(document["info"]["description"])}<p><a href="/openapi.json">openapi.json</a></p></section>
{groups}
<section class="problems"><h2>Problem codes</h2><table><thead><tr><th>code</th><th>status</th><th>meaning</th></tr></thead>
<tbody>{problems}</tbody></table></section></main></body></html>
"""


def _prose(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.strip().split("\n\n"))


def _group(tag: dict[str, str], paths: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows = [
        _operation(method, path, row, schemas)
        for path, methods in paths.items()
        for method, row in methods.items()
        if tag["name"] in row["tags"]
    ]
    return f"<section class='group'><h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>{''.join(rows)}</section>"


def _operation(method: str, path: str, row: dict[str, Any], schemas: dict[str, Any]) -> str:
    body = row.get("requestBody", {}).get("content", {}).get("application/json", {})
    parts = [f"<p>{escape(row['description'])}</p>" if row.get("description") else ""]
    parts.append(f"<p class='who'>{escape(_who(row))}</p>")
    if row["parameters"]:
        parts.append("<h4>Parameters</h4>" + _table([_parameter(p) for p in row["parameters"]]))
    if body:
        parts.append("<h4>Body</h4>" + _fields(body["schema"], schemas))
    if "example" in body:
        parts.append(f"<h4>Example</h4><pre>{escape(_curl(method, path, row, body['example']))}</pre>")
    parts.append("<h4>Answers</h4>" + _answers(row["responses"], schemas))
    return (
        f"<details class='operation' id='{escape(row['operationId'])}'><summary><b class='{method}'>{method.upper()}</b> "
        f"<code>{escape(path)}</code> <i>{escape(row['operationId'])}</i> <span>{escape(row['summary'])}</span></summary>"
        f"{''.join(parts)}</details>"
    )


def _who(row: dict[str, Any]) -> str:
    if not row["security"]:
        return "Public."
    marks = " or ".join(_MARKS[name] for accepted in row["security"] for name in accepted)
    return f"{marks[0].upper()}{marks[1:]}; roles: {', '.join(row['x-roles'])}; scope: {row['x-scope']}."


def _curl(method: str, path: str, row: dict[str, Any], example: Any) -> str:
    key = "  -H 'Idempotency-Key: my-key-1' \\\n" if any(p["name"] == "Idempotency-Key" for p in row["parameters"]) else ""
    token = '  -H "Authorization: Bearer $TOKEN" \\\n' if any("operator" in accepted for accepted in row["security"]) else ""
    return (
        f"curl -X {method.upper()} $SERVICE{path} \\\n{token}{key}  -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(example, ensure_ascii=False)}'"
    )


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(a)}</code></td><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    return f"<table><tbody>{cells}</tbody></table>"


def _parameter(parameter: dict[str, Any]) -> tuple[str, str, str]:
    need = "required" if parameter["required"] else "optional"
    return parameter["name"], f"{parameter['in']}, {need}, {_type(parameter['schema'])}", parameter.get("description", "")


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    return found


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """The members of an object, those of nested objects indented behind a dot."""
    rows: list[tuple[str, str, str]] = []
    _collect("", schema, schemas, rows, 0)
    return _table(rows) if rows else f"<p>{escape(_type(schema))}</p>"


def _collect(prefix: str, schema: dict[str, Any], schemas: dict[str, Any], rows: list[tuple[str, str, str]], depth: int) -> None:
    resolved = _resolve(schema, schemas)
    for name, field in resolved.get("properties", {}).items():
        default = f"default {json.dumps(field['default'])}" if "default" in field else "optional"
        need = "required" if name in resolved.get("required", ()) else default
        rows.append((prefix + name, f"{_type(field)}, {need}", field.get("description", "")))
        inner = field.get("items", field)
        if isinstance(inner, dict) and "$ref" in inner and depth < 3:
            _collect(f"{prefix}{name}{'[]' if 'items' in field else ''}.", inner, schemas, rows, depth + 1)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}" if isinstance(schema.get("items"), dict) else "array"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to"), ("pattern", "like")) if key in schema]
    return " ".join([str(schema.get("type", "any")), *bounds])


def _answers(responses: dict[str, Any], schemas: dict[str, Any]) -> str:
    out = []
    for status, response in responses.items():
        content = response.get("content", {})
        if "application/problem+json" in content:
            codes = content["application/problem+json"]["examples"]
            links = ", ".join(f"<a href='#problem-{escape(code)}'>{escape(code)}</a>" for code in codes)
            out.append(f"<p class='problem'><b>{status}</b> {links}</p>")
            continue
        shown = "".join(_fields(media["schema"], schemas) for media in content.values())
        out.append(f"<p><b>{status}</b> {escape(response['description'])}</p>{shown}")
    return "".join(out)
