"""What pip reads in constraints files: read.py FILE..., a line of JSON for each."""

import json
import sys

from pip._internal.network.session import PipSession
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements
from pip._internal.req.req_install import check_invalid_constraint_type
from pip._vendor.packaging.utils import canonicalize_name


def entries(path):
    for line in parse_requirements(path, PipSession(), constraint=True):
        requirement = install_req_from_parsed_requirement(line)
        # What pip's resolver looks for before it takes a constraint.
        problem = check_invalid_constraint_type(requirement)
        if problem:
            raise ValueError(problem)
        yield [
            canonicalize_name(requirement.name),
            str(requirement.specifier) if not requirement.link else "@",
            str(requirement.markers or ""),
        ]


for path in sys.argv[1:]:
    try:
        print(json.dumps(list(entries(path))))
    except Exception as error:  # each kind means that pip refuses the file
        print(json.dumps(str(error)))
