"""Succeeds where an OpenGL 4.3 context opens without a display: usage, opens_gl.py [NAME], a part of the renderer's name."""

import sys

import moderngl

try:
    context = moderngl.create_context(standalone=True, backend="egl", require=430)
except Exception as error:  # a missing library, no vendor, no driver: each raises another type
    sys.exit(f"no OpenGL context: {error}")
renderer = context.info["GL_RENDERER"]
context.release()
if sys.argv[1:] and sys.argv[1] not in renderer:
    sys.exit(f"the OpenGL renderer is {renderer}, not {sys.argv[1]}")
print(f"OpenGL: {renderer}")
