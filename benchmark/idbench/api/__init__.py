"""The only thing a method author imports."""

from idbench.api.card import AnswerCard, Card, Choice, DefenseCard, MethodCard, MethodParams
from idbench.api.cases import AuxiliaryPerson, Calibration, Case, Pair, Photo, Scores
from idbench.api.defense import AnswerDefense, Defense, TargetDefense, TargetFront
from idbench.api.errors import (
    AccessViolation,
    DataError,
    IdbenchError,
    InvalidScores,
    MethodError,
    TargetError,
    TimeLimitExceeded,
)
from idbench.api.method import Attack, Context, Method, Progress, Reporter, Silent
from idbench.api.target import EditableTarget, TargetInfo, TargetView
from idbench.api.words import Access, Knowledge, Track, names_of, track_of

__all__ = [
    "Access",
    "AccessViolation",
    "AnswerCard",
    "AnswerDefense",
    "Attack",
    "AuxiliaryPerson",
    "Calibration",
    "Card",
    "Case",
    "Choice",
    "Context",
    "DataError",
    "Defense",
    "DefenseCard",
    "EditableTarget",
    "IdbenchError",
    "InvalidScores",
    "Knowledge",
    "Method",
    "MethodCard",
    "MethodError",
    "MethodParams",
    "Pair",
    "Photo",
    "Progress",
    "Reporter",
    "Scores",
    "Silent",
    "TargetDefense",
    "TargetError",
    "TargetFront",
    "TargetInfo",
    "TargetView",
    "TimeLimitExceeded",
    "Track",
    "names_of",
    "track_of",
]
