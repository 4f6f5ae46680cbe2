# SPDX-License-Identifier: MIT
"""schema.py SCHEMA FILE...: prints the name of each FILE that the schema takes.

As much of JSON Schema (draft 2020-12) as doc/berth.conf.schema.json uses; a keyword that is not
known here is an error, so that none is passed over. Comments of C++ are left out of the files first.
"""
import json
import re
import sys

NOTES = {"$schema", "$defs", "title", "description", "then", "else"}
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: is_number(v) and v == int(v),
}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def search(pattern, text):
    # In a schema, $ is the end of the text and not also before a newline.
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def types(schema):
    names = schema["type"]
    return names if isinstance(names, list) else [names]


def properties(root, schema, value):
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    for key, member in value.items():
        if key in known:
            if not valid(root, known[key], member):
                return False
        elif rest is False or (rest is not True and not valid(root, rest, member)):
            return False
    return True


def condition(root, schema, value):
    branch = "then" if valid(root, schema["if"], value) else "else"
    return branch not in schema or valid(root, schema[branch], value)


KEYWORDS = {
    "type": lambda r, s, v: any(TYPES[name](v) for name in types(s)),
    "enum": lambda r, s, v: v in s["enum"],
    "minimum": lambda r, s, v: not is_number(v) or v >= s["minimum"],
    "maximum": lambda r, s, v: not is_number(v) or v <= s["maximum"],
    "minLength": lambda r, s, v: not isinstance(v, str) or len(v) >= s["minLength"],
    "pattern": lambda r, s, v: not isinstance(v, str) or search(s["pattern"], v),
    "items": lambda r, s, v: not isinstance(v, list) or all(valid(r, s["items"], e) for e in v),
    "properties": lambda r, s, v: not isinstance(v, dict) or properties(r, s, v),
    "additionalProperties": lambda r, s, v: not isinstance(v, dict) or properties(r, s, v),
    "propertyNames": lambda r, s, v: not isinstance(v, dict)
    or all(valid(r, s["propertyNames"], key) for key in v),
    "minProperties": lambda r, s, v: not isinstance(v, dict) or len(v) >= s["minProperties"],
    "maxProperties": lambda r, s, v: not isinstance(v, dict) or len(v) <= s["maxProperties"],
    "$ref": lambda r, s, v: valid(r, r["$defs"][s["$ref"].rsplit("/", 1)[1]], v),
    "if": condition,
}


def valid(root, schema, value):
    return all(KEYWORDS[key](root, schema, value) for key in schema if key not in NOTES)


def without_comments(text):
    return re.sub(
        r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/',
        lambda found: found[0] if found[0].startswith('"') else " ",
        text,
        flags=re.DOTALL,
    )


def takes(schema, name):
    with open(name, "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8")
        text.encode("utf-8")
        value = json.loads(without_comments(text))
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
    except (ValueError, RecursionError):
        return False
    return valid(schema, schema, value)


def main():
    sys.setrecursionlimit(20000)
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    for name in sys.argv[2:]:
        if takes(schema, name):
            print(name)


main()
