"""Validates OpenVEX documents: validate_vex.py FILE..., exit status 1 where one is invalid."""

import json
import sys

import vexipy

status = 0


def unknown(given, read, path):
    """The fields that the model dropped: it knows those of the specification."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(read, dict) or key not in read:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, read[key], f"{path}.{key}")
    elif isinstance(given, list):
        for number, value in enumerate(given):
            yield from unknown(value, read[number], f"{path}[{number}]")


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        document = vexipy.Document.from_json(text)
    except ValueError as error:
        print(path, error)
        status = 1
        continue
    given = json.loads(text)
    read = json.loads(document.model_dump_json(by_alias=True, exclude_none=True))
    wrong = list(unknown(given, read, ""))
    if given.get("@context") != "https://openvex.dev/ns/v0.2.0":
        wrong.append("@context")
    if not given.get("statements"):
        wrong.append("statements")
    if wrong:
        print(path, "is wrong at", *wrong)
        status = 1
sys.exit(status)
