"""Succeeds where an OpenGL 4.3 context opens without a display."""

import sys

import moderngl

try:
    context = moderngl.create_context(standalone=True, backend="egl", require=430)
except Exception as error:  # a missing library, no vendor, no driver: each raises another type
    sys.exit(f"no OpenGL context: {error}")
print(f"OpenGL: {context.info['GL_RENDERER']}")
context.release()
