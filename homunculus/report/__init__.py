"""What was looked at and what was seen, as pictures and files."""

from homunculus.report.files import to_picture as to_picture
from homunculus.report.files import write_look as write_look
from homunculus.report.footprints import draw_footprints as draw_footprints
from homunculus.report.reconstruction import Reconstruction as Reconstruction
from homunculus.report.reconstruction import reconstruct as reconstruct
