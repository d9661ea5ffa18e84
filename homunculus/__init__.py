"""Where to look and what was seen."""

from bridge import open_unit as open_unit
from homunculus import layouts as layouts
from homunculus.image import read_image as read_image
