"""The errors that a method meets or may raise."""

from idbench.errors import (
    AccessViolation,
    DataError,
    IdbenchError,
    InvalidScores,
    MethodError,
    TargetError,
    TimeLimitExceeded,
)

__all__ = [
    "AccessViolation",
    "DataError",
    "IdbenchError",
    "InvalidScores",
    "MethodError",
    "TargetError",
    "TimeLimitExceeded",
]
