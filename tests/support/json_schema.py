"""The few words of JSON Schema that our schemas use: type, required, properties, items, enum, const, pattern."""

import re
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
WORDS = {"type", "required", "properties", "items", "enum", "const", "pattern", "minItems", "not", "description"}


def violations(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Return what is wrong with a value, each with its place in it; an unknown word of the schema is an error."""
    assert schema.keys() <= WORDS, f"{place}: {schema.keys() - WORDS}"
    found = []
    wanted = schema.get("type")
    if wanted and (not isinstance(value, TYPES[wanted]) or (wanted != "boolean" and isinstance(value, bool))):
        return [f"{place}: {type(value).__name__}, not {wanted}"]
    found += [f"{place}: no {key}" for key in schema.get("required", []) if key not in value]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r}, not {schema['const']!r}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place}: {value!r} does not match {schema['pattern']}")
    if len(value) < schema.get("minItems", 0) if isinstance(value, list) else False:
        found.append(f"{place}: {len(value)} items, fewer than {schema['minItems']}")
    if "not" in schema and not violations(value, schema["not"], place):
        found.append(f"{place}: is what it must not be")
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            found += violations(value[key], inner, f"{place}.{key}") if key in value else []
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += violations(item, schema["items"], f"{place}[{index}]")
    return found
