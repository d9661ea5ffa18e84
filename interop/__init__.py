"""Memory that OpenGL, CUDA and torch see, and which EGL device is which CUDA device. Knows nothing of images."""
