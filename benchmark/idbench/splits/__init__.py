"""Splits: identities with photos, names and membership labels; and the training sets that belong to them."""

from idbench.splits.corpora import Corpus
from idbench.splits.lint import LintFinding, lint
from idbench.splits.loading import load_split
from idbench.splits.manifest import CorpusInfo, Labels, Manifest, PhotoFormat
from idbench.splits.photos import decode_photo, encode_png
from idbench.splits.recipe import CorpusRecipe, SourcedRecipe, Sources, SplitRecipe
from idbench.splits.registry import (
    SPLITS,
    corpus_names,
    find_recipe,
    load_corpus,
    readable_recipes,
    recipes_making,
    split_names,
)
from idbench.splits.split import Identity, Split

__all__ = [
    "SPLITS",
    "Corpus",
    "CorpusInfo",
    "CorpusRecipe",
    "Identity",
    "Labels",
    "LintFinding",
    "Manifest",
    "PhotoFormat",
    "SourcedRecipe",
    "Sources",
    "Split",
    "SplitRecipe",
    "corpus_names",
    "decode_photo",
    "encode_png",
    "find_recipe",
    "lint",
    "load_corpus",
    "load_split",
    "readable_recipes",
    "recipes_making",
    "split_names",
]
