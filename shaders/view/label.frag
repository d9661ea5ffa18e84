// A drawn label, pixel by pixel.
#version 430
#include "view/camera.glsl"

layout(binding = 5) uniform sampler2D label;

out vec4 color;

void main() {
    color = texelFetch(label, ivec2(gl_FragCoord.xy - corner_px), 0);
}
