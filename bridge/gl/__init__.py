"""The OpenGL backend: one context per process and device, on a thread of its own."""
