"""Shader text, GLSL and CUDA, and one loader. Knows nothing of OpenGL, CUDA or torch."""

from homunculus.shaders.files import Source, explain, names, source
from homunculus.shaders.translate import Argument, Kernel, as_cuda

__all__ = ["Argument", "Kernel", "Source", "as_cuda", "explain", "names", "source"]
