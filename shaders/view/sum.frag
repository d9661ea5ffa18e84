// A patch times its weight, and the weight, to be added up: the back-projection of homunculus/report/reconstruction.py.
#version 430

in vec2 place;
flat in vec2 reach;
flat in vec4 cell;

layout(binding = 1) uniform sampler2D atlas;  // premultiplied by the share of each texel inside the image
uniform int patch_size;

out vec4 sums;

const float FEATHER = 1.0 / 64.0;

void main() {
    if (any(greaterThan(abs(place), reach))) discard;
    vec2 tent = max(1.0 - abs(place), vec2(FEATHER));
    float border = 0.5 * exp2(cell.w);
    vec2 texel = clamp((place + 1.0) * (0.5 * float(patch_size)), vec2(border), vec2(float(patch_size) - border));
    sums = cell.z * tent.x * tent.y * textureLod(atlas, (cell.xy + texel) / vec2(textureSize(atlas, 0)), cell.w);
}
