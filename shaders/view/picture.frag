// The picture itself, filtered for the size at which it is shown; its own pixels as squares where they are enlarged.
#version 430
#include "view/camera.glsl"

layout(binding = 0) uniform sampler2DArray pyramid;
uniform vec2 scale;  // 1 / padded size
uniform float lod;
uniform float paleness;
uniform bool nearest;

out vec4 color;

void main() {
    vec2 point = to_image(gl_FragCoord.xy);
    if (nearest) point = floor(point) + 0.5;
    vec4 rgba = textureLod(pyramid, vec3(point * scale, 0.0), lod);
    color = vec4(mix(rgba.rgb / max(rgba.a, 1.0 / 16.0), vec3(1.0), paleness), 1.0);
}
