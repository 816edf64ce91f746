"""What a method may ask of a target, what it may know, and the track that follows from both."""

from __future__ import annotations

from enum import Flag, StrEnum, auto


class Access(Flag):
    """What a method may ask of the target."""

    NONE = 0
    LABEL = auto()
    """Which of several texts fits a photo best; no numbers."""
    SIMILARITY = auto()
    """The cosine between a photo and a text."""
    TEXT_EMBEDDING = auto()
    """The embedding of a text."""
    IMAGE_EMBEDDING = auto()
    """The embedding of a photo or of an image of the method's own."""
    GRADIENT = auto()
    """Gradients of the similarity with respect to an input image."""
    WEIGHTS = auto()
    """The model itself."""
    TRAIN_SHADOWS = auto()
    """Training models of the target's architecture by its recipe."""


class Knowledge(Flag):
    """What data a method may hold."""

    NONE = 0
    NAME = auto()
    """The full name of each person."""
    PHOTOS = auto()
    """Photos of each person that are in no training set."""
    CANDIDATE_NAMES = auto()
    """Every name that is considered possible."""
    CALIBRATION_LABELS = auto()
    """Who is a member among people apart from those under test."""
    PUBLIC_PAIRS = auto()
    """Pairs of a photo and a caption that show nobody under test."""
    AUXILIARY_PEOPLE = auto()
    """People like those in the training data, each with photos and captions; nobody under test."""
    TRAINING_SET = auto()
    """What the target was trained on; for defenses alone that act before the training."""


class Track(StrEnum):
    """The board on which a method competes; derived by `track_of`, never entered by hand."""

    BLIND = "blind"
    TEXT_ONLY = "text-only"
    BLACK_BOX = "black-box"
    WHITE_BOX = "white-box"
    SHADOW = "shadow"


def track_of(access: Access, knowledge: Knowledge) -> Track:
    """The track that follows from what a method asks and knows.

    Training shadow models weighs most. A method that never sees a photo of the person is text-only, gradients or not
    (TUNI's threat model); with photos, gradients and weights make it white-box; the rest is black-box. A method without
    any access to the target is blind, and shown on every board.
    """
    if access is Access.NONE:
        return Track.BLIND
    if Access.TRAIN_SHADOWS in access:
        return Track.SHADOW
    if Access.WEIGHTS in access:
        return Track.WHITE_BOX
    if Knowledge.PHOTOS not in knowledge:
        return Track.TEXT_ONLY
    if Access.GRADIENT in access:
        return Track.WHITE_BOX
    return Track.BLACK_BOX


def names_of(flags: Access | Knowledge) -> list[str]:
    """The names of the single flags that are set, in order of declaration, e.g. `["SIMILARITY", "GRADIENT"]`."""
    return [flag.name for flag in type(flags) if flag in flags and flag.name is not None]
