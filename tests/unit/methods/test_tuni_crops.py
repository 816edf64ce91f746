"""TUNI's crops: the same as torchvision's, and their transposes the same as autograd's."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.functional import InterpolationMode, resized_crop

from idbench_methods.attacks.tuni.crops import CropRange, Crops, random_boxes

CPU = torch.device("cpu")


def test_whole_pixel_crops_are_torchvisions() -> None:
    images = torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    boxes = np.array([[0, 0, 12, 10], [1, 2, 10, 7], [3, 0, 9, 10]], dtype=np.float64)
    ours = Crops.of(boxes, 12, 10, CPU).apply(images)
    for image, (top, left, height, width), mine in zip(images, boxes.astype(int).tolist(), ours, strict=True):
        theirs = resized_crop(
            image[None], top, left, height, width, [12, 10], InterpolationMode.BILINEAR, antialias=False
        )
        torch.testing.assert_close(mine[None], theirs, rtol=1e-5, atol=1e-5)


def test_gradients_are_pulled_back_as_autograd_does() -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 3, 8, 8, generator=generator, requires_grad=True)
    boxes = random_boxes(np.random.default_rng(0), 5, 8, 8, CropRange(0.5, 1.0, 4 / 3))
    crops = Crops.of(boxes, 8, 8, CPU)
    upstream = torch.randn(5, 3, 8, 8, generator=generator)
    (theirs,) = torch.autograd.grad((crops.apply(images) * upstream).sum(), images)
    torch.testing.assert_close(crops.pull_back(upstream), theirs)


def test_boxes_lie_in_the_image_and_have_the_area_asked_for() -> None:
    boxes = random_boxes(np.random.default_rng(0), 2000, 32, 40, CropRange(0.9, 1.0, 4 / 3))
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 32 + 1e-9).all()
    assert (left + width <= 40 + 1e-9).all()
    share = height * width / (32 * 40)
    assert share.min() >= 0.9 - 1e-9
    assert share.max() <= 1 + 1e-9
    assert share.std() > 0.01


def test_boxes_that_never_fit_become_the_whole_image() -> None:
    # A square crop of 95 % of a flat image's area is higher than the image.
    boxes = random_boxes(np.random.default_rng(0), 10, 8, 32, CropRange(0.95, 0.95, 1.0))
    np.testing.assert_array_equal(boxes, np.tile([0.0, 0.0, 8.0, 32.0], (10, 1)))
