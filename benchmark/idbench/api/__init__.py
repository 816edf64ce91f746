"""The only thing a method author imports."""

from idbench.api.adaptation import Adaptation, AdaptationCard, AnswerAdaptation, AskingCard, WeightAdaptation
from idbench.api.card import AnswerCard, Card, Choice, CorpusCard, DefenseCard, MethodCard, MethodParams
from idbench.api.cases import AuxiliaryPerson, Calibration, Case, Pair, Photo, Scores
from idbench.api.defense import AnswerDefense, CorpusDefense, Defense, TargetDefense, TargetFront
from idbench.api.method import Attack, Context, Method
from idbench.api.target import EditableTarget, TargetInfo, TargetView
from idbench.api.training import PrivateGradients, Training
from idbench.api.words import Access, Knowledge, Track, names_of, track_of
from idbench.errors import (
    AccessViolation,
    DataError,
    IdbenchError,
    InvalidScores,
    MethodError,
    TargetError,
    TimeLimitExceeded,
)
from idbench.privacy import Guarantee
from idbench.progress import Progress, Reporter, Silent

__all__ = [
    "Access",
    "AccessViolation",
    "Adaptation",
    "AdaptationCard",
    "AnswerAdaptation",
    "AnswerCard",
    "AnswerDefense",
    "AskingCard",
    "Attack",
    "AuxiliaryPerson",
    "Calibration",
    "Card",
    "Case",
    "Choice",
    "Context",
    "CorpusCard",
    "CorpusDefense",
    "DataError",
    "Defense",
    "DefenseCard",
    "EditableTarget",
    "Guarantee",
    "IdbenchError",
    "InvalidScores",
    "Knowledge",
    "Method",
    "MethodCard",
    "MethodError",
    "MethodParams",
    "Pair",
    "Photo",
    "PrivateGradients",
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
    "Training",
    "WeightAdaptation",
    "names_of",
    "track_of",
]
