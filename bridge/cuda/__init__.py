"""The CUDA backend: mipmapped arrays, texture objects, and kernels compiled at run time. No OpenGL."""
