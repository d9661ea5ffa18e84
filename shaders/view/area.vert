// The area's rectangle, as a strip of four.
#version 430
#include "view/camera.glsl"

void main() {
    gl_Position = position(corner_px + vec2(gl_VertexID & 1, gl_VertexID >> 1) * area_px);
}
