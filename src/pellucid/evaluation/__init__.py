"""From pictures, a measure and weights to the rows of a table."""

from pellucid.evaluation.cases import Case, find_cases, read_case
from pellucid.evaluation.ensemble import with_self_ensemble
from pellucid.evaluation.measuring import (
    Measurement,
    Restore,
    Row,
    Shown,
    measure,
    overall,
    plain_values,
    save_measurements,
    summarise,
)
from pellucid.evaluation.protocols import PROTOCOLS, Problem, Protocol, protocol_for
from pellucid.evaluation.sets import SETS, StandardSet
from pellucid.evaluation.strips import strip_writer
from pellucid.evaluation.tool import tool_for

__all__ = [
    "PROTOCOLS",
    "SETS",
    "Case",
    "Measurement",
    "Problem",
    "Protocol",
    "Restore",
    "Row",
    "Shown",
    "StandardSet",
    "find_cases",
    "measure",
    "overall",
    "plain_values",
    "protocol_for",
    "read_case",
    "save_measurements",
    "strip_writer",
    "summarise",
    "tool_for",
    "with_self_ensemble",
]
