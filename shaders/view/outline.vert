// One instance a footprint: its four edges, each two triangles, at the depth of its level of detail: the finest lies on top.
#version 430
#include "footprint.glsl"
#include "view/camera.glsl"
#include "view/palette.glsl"

layout(location = 0) in vec4 head;
layout(location = 1) in vec4 tail;

uniform int patch_size;
uniform float width_px;  // of a line, in the target

flat out vec3 line_color;
out float away_px;  // from the middle of the line

const vec2 CORNERS[4] = vec2[](vec2(-1.0, -1.0), vec2(1.0, -1.0), vec2(1.0, 1.0), vec2(-1.0, 1.0));
const ivec2 ENDS[6] = ivec2[](ivec2(0, -1), ivec2(0, 1), ivec2(1, -1), ivec2(1, -1), ivec2(0, 1), ivec2(1, 1));

void main() {
    Footprint own = unpack_footprint(head, tail);
    int edge = gl_VertexID / 6;
    ivec2 end = ENDS[gl_VertexID % 6];
    mat2 axes = mat2(own.right, own.down) * (0.5 * float(patch_size));
    vec2 from = to_target(own.center + axes * CORNERS[edge]);
    vec2 to = to_target(own.center + axes * CORNERS[(edge + 1) & 3]);
    vec2 along = (to - from) / max(length(to - from), TINY);
    float reach_px = 0.5 * width_px + 0.5;
    away_px = float(end.y) * reach_px;
    vec2 place = (end.x == 0 ? from - along * (0.5 * width_px) : to + along * (0.5 * width_px)) + vec2(-along.y, along.x) * away_px;
    Taps cut = taps(own.right, own.down, 1000.0);
    float lod = quality_lod(cut.step_px, own.lod_bias);
    line_color = lod_color(lod);
    gl_Position = position(place);
    gl_Position.z = clamp(lod / 16.0, 0.0, 0.99);
}
