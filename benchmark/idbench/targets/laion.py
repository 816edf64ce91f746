"""The public models that the papers attack: open_clip's, trained on LAION-400M for 32 epochs."""

from __future__ import annotations

from idbench.targets.spec import PretrainedTag, TargetSpec

CORPUS = "laion400m"
_TAG = "laion400m_e32"


def _spec(name: str, architecture: str, *, quick_gelu: bool) -> TargetSpec:
    # open_clip publishes only the first eight digits of a file's SHA-256, in its name. The whole hash is computed when
    # the file is first loaded, and stands in every record.
    return TargetSpec(
        name=name,
        version="1",
        title=f"open_clip {architecture}, weights {_TAG}",
        corpus=CORPUS,
        architecture=architecture,
        weights=PretrainedTag(tag=_TAG),
        quick_gelu=quick_gelu,
    )


VIT_B_32 = _spec("laion400m-vit-b-32", "ViT-B-32-quickgelu", quick_gelu=True)
VIT_B_16 = _spec("laion400m-vit-b-16", "ViT-B-16", quick_gelu=False)
VIT_L_14 = _spec("laion400m-vit-l-14", "ViT-L-14", quick_gelu=False)
