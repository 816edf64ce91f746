"""What the attacks on shadow models share: who trains which shadow, what is asked of each model, and the answers."""

from idbench_methods.shadows.choices import ACCESS, KNOWLEDGE, SHARED_CHOICES, ShadowParams
from idbench_methods.shadows.evidence import Evidence, gather
from idbench_methods.shadows.measuring import FEATURES, LOG_ODDS, LOG_PROBABILITY
from idbench_methods.shadows.people import Person, meet

__all__ = [
    "ACCESS",
    "FEATURES",
    "KNOWLEDGE",
    "LOG_ODDS",
    "LOG_PROBABILITY",
    "SHARED_CHOICES",
    "Evidence",
    "Person",
    "ShadowParams",
    "gather",
    "meet",
]
