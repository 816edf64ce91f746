"""A classifier of faces over the people under test: trained by one command, used to look at neighbours."""

from typing import Literal

Architecture = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
"""The networks, as torchvision calls them."""

Crop = Literal["none", "haar"]
"""How a face is found on a picture: `haar` by OpenCV's cascade; `none`: the picture is the face."""
