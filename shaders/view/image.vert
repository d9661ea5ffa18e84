// The image's rectangle, as a strip of four.
#version 430
#include "view/camera.glsl"

void main() {
    gl_Position = position(to_target(vec2(gl_VertexID & 1, gl_VertexID >> 1) * image_px));
}
