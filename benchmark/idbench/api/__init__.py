"""The only thing a method author imports."""

from idbench.api.card import Choice, MethodCard, MethodParams
from idbench.api.cases import AuxiliaryPerson, Calibration, Case, Pair, Photo, Scores
from idbench.api.errors import (
    AccessViolation,
    DataError,
    IdbenchError,
    InvalidScores,
    MethodError,
    TargetError,
    TimeLimitExceeded,
)
from idbench.api.method import Attack, Context, Progress, Reporter, Silent
from idbench.api.target import TargetInfo, TargetView
from idbench.api.words import Access, Knowledge, Track, names_of, track_of

__all__ = [
    "Access",
    "AccessViolation",
    "Attack",
    "AuxiliaryPerson",
    "Calibration",
    "Case",
    "Choice",
    "Context",
    "DataError",
    "IdbenchError",
    "InvalidScores",
    "Knowledge",
    "MethodCard",
    "MethodError",
    "MethodParams",
    "Pair",
    "Photo",
    "Progress",
    "Reporter",
    "Scores",
    "Silent",
    "TargetError",
    "TargetInfo",
    "TargetView",
    "TimeLimitExceeded",
    "Track",
    "names_of",
    "track_of",
]
