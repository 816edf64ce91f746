"""The configuration of a tiny CoCa, which learns from captions that it writes itself, too."""

from __future__ import annotations

from typing import Any

COCA: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 16,
        "layers": 1,
        "width": 16,
        "head_width": 8,
        "output_tokens": True,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
    },
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
        "output_tokens": True,
        "embed_cls": True,
    },
    "multimodal_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    "custom_text": True,
}
