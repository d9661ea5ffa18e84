"""Memory that OpenGL and torch both see, and which EGL device is which CUDA device. Knows nothing of images."""

from interop.buffer import HostBuffer, SharedBuffer, Transfers
from interop.egl import EGLDevice, egl_devices

__all__ = ["EGLDevice", "HostBuffer", "SharedBuffer", "Transfers", "egl_devices"]
