// A patch times its weight, and the weight, to be added up: the back-projection of homunculus/report/reconstruction.py.
#version 430
#include "view/camera.glsl"
#include "view/seen.glsl"

layout(binding = 1) uniform sampler2D atlas;  // premultiplied by the share of each texel inside the image
uniform int patch_size;

out vec4 sums;

const float FEATHER = 1.0 / 64.0;

void main() {
    vec2 place = place_in_patch(to_image(gl_FragCoord.xy));
    if (outside_patch(place)) discard;
    vec2 tent = max(1.0 - abs(place), vec2(FEATHER));
    float border = 0.5 * exp2(level);
    vec2 texel = clamp((place + 1.0) * (0.5 * float(patch_size)), vec2(border), vec2(float(patch_size) - border));
    sums = weight * tent.x * tent.y * textureLod(atlas, (cell + texel) / vec2(textureSize(atlas, 0)), level);
}
