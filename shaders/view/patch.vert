// One instance a footprint: its parallelogram, grown by a target pixel, as a strip of four.
#version 430
#include "footprint.glsl"
#include "view/camera.glsl"

layout(location = 0) in vec4 head;
layout(location = 1) in vec4 tail;

uniform int patch_size;
uniform int columns;   // patches in a row of the atlas
uniform int max_atlas_level;

out vec2 place;      // from -1 at one border of the patch to 1 at the other
flat out vec4 cell;  // its corner in the atlas, its weight, and the atlas' level
flat out float lod;
flat out vec2 reach; // the largest place that counts, so that a pixel on the border of two patches is lost to neither's rounding

const float COARSEST_PX = 4096.0;
const float SLACK = 1.0 / 4096.0;  // of a target pixel: more than interpolation errs by, less than is seen

void main() {
    Footprint own = unpack_footprint(head, tail);
    float side = float(patch_size);
    float area = own.right.x * own.down.y - own.right.y * own.down.x;
    float texel_px = sqrt(abs(area));
    float clamped = clamp(texel_px, 1.0, COARSEST_PX);
    float squared = clamped * clamped;
    float fourth = squared * squared;
    int row = gl_InstanceID / columns;
    float level = clamp(round(log2(step_px / max(texel_px, 1.0))), 0.0, float(max_atlas_level));
    cell = vec4(vec2(gl_InstanceID - row * columns, row) * side, 1.0 / (fourth * fourth), level);
    Taps cut = taps(own.right, own.down, 1000.0);
    lod = quality_lod(cut.step_px, own.lod_bias);
    vec2 turn = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
    vec2 half_right = own.right * (0.5 * side);
    vec2 half_down = own.down * (0.5 * side);
    vec2 target_pixel = step_px / max(vec2(length(half_right), length(half_down)), TINY);
    place = turn * (1.0 + target_pixel);
    reach = 1.0 + SLACK * target_pixel;
    gl_Position = area == 0.0 ? vec4(2.0, 2.0, 0.0, 1.0)
        : position(to_target(own.center + place.x * half_right + place.y * half_down));
}
