"""The contrastive loss of each pair of a batch, and its gradient with respect to the pair's two embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def losses_and_norms(
    images: NDArray[np.float64], texts: NDArray[np.float64], temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """InfoNCE loss of each pair and the L2 norm of its gradient, (n,) each.

    The loss of pair i is half the cross-entropy of text i among the texts for image i, and half that of image i among
    the images for text i. The gradient is that of pair i's own loss with respect to image embedding i and text
    embedding i, side by side; the batch's other embeddings are held.

    Args:
        images, texts: normalized, (n, d) each, n at least 2; pair i stands in row i of both.
        temperature: divides the cosines.
    """
    logits = images @ texts.T / temperature
    by_image, by_text = _log_softmax(logits), _log_softmax(logits.T)
    loss = -0.5 * (np.diag(by_image) + np.diag(by_text))
    p, q = np.exp(by_image), np.exp(by_text)
    others_p, others_q = 1 - np.diag(p), 1 - np.diag(q)
    # d/d image_i: from its own row the texts it is pushed towards, from text i's row the share of image i.
    for_image = p @ texts - texts - others_q[:, None] * texts
    for_text = q @ images - images - others_p[:, None] * images
    norm = 0.5 / temperature * np.sqrt((for_image**2).sum(axis=1) + (for_text**2).sum(axis=1))
    return loss, norm


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
